"""The colours of what is shown inside a page, whichever page it is."""

# The page's own colours, in the built book, in Jupyter, or (inherit) anywhere else, so that a card reads on dark pages.
PAPER = (
    "background:var(--pst-color-background, var(--jp-layout-color0, transparent));"
    "color:var(--pst-color-text-base, var(--jp-ui-font-color1, inherit))"
)
