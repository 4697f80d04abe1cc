// Arrow keys, space, Page Up and Down, Home and End turn the slides; a slide that is too full gets smaller letters.
(() => {
  const slides = [...document.querySelectorAll("section.slide")];
  const top = (slide) => Math.abs(slide.getBoundingClientRect().top);
  const now = () => slides.reduce((best, slide, n) => (top(slide) < top(slides[best]) ? n : best), 0);
  const steps = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1 };
  const ends = { Home: 0, End: slides.length - 1 };
  addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || !(event.key in steps || event.key in ends)) return;
    const wanted = event.key in ends ? ends[event.key] : now() + steps[event.key];
    const slide = slides[Math.max(0, Math.min(slides.length - 1, wanted))];
    event.preventDefault();
    history.replaceState(null, "", "#" + slide.id);
    slide.scrollIntoView();
  });
  const fit = () => {
    for (const slide of slides)
      for (let size = 100; slide.scrollHeight > slide.clientHeight + 1 && size > 40; size -= 5)
        slide.style.fontSize = size - 5 + "%";
  };
  const drawn = window.MathJax && MathJax.startup ? MathJax.startup.promise : Promise.resolve();
  drawn.then(fit);
})();
