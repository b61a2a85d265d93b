// A click on `.play`, or Enter on it, plays its span in place; Esc, or another clip, gives the picture back.
const player = (() => {
  let playing = null;
  const stop = (focus) => {
    if (!playing) return false;
    const { video, button } = playing;
    playing = null;
    video.pause();
    video.replaceWith(button);
    if (focus) button.focus();
    return true;
  };
  const play = (button) => {
    stop(false);
    const video = Object.assign(document.createElement("video"), { className: "shot", controls: true, muted: true, autoplay: true, tabIndex: 0 });
    video.setAttribute("aria-label", button.getAttribute("aria-label"));
    video.addEventListener("error", () => {
      button.classList.add("unplayable");
      if (playing && playing.video === video) stop(true);
    });
    video.src = button.dataset.video;
    playing = { video, button };
    button.replaceWith(video);
    video.focus();
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest(".play");
    if (button) play(button);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && stop(true)) event.stopImmediatePropagation();
  });
  return { play, stop };
})();
