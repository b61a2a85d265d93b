const one = (selector, of = document) => of.querySelector(selector);
const all = (selector, of = document) => [...of.querySelectorAll(selector)];
const still = matchMedia("(prefers-reduced-motion: reduce)");

// Filters: what the form says, what the address says, and what is shown are one and the same.
const form = one(".controls");
const fields = ["text", "capability", "owner", "source", "gap"];
const filters = () => Object.fromEntries(fields.map((name) => {
  const field = form.elements[name];
  return [name, field.type === "checkbox" ? (field.checked ? "1" : "") : field.value.trim()];
}));
const among = (list, wanted) => !wanted || list === undefined || list.split("|").includes(wanted);
const bears = (element, wanted) => !wanted || (element.dataset.text || "").includes(wanted);

const apply = () => {
  const wanted = filters();
  wanted.text = wanted.text.toLowerCase();
  const fits = (element) => among(element.dataset.capability, wanted.capability) && among(element.dataset.owner, wanted.owner)
    && among(element.dataset.source, wanted.source) && (!wanted.gap || element.dataset.gap !== "0");
  const found = new Set();
  for (const section of all(".capability")) {
    const own = bears(section, wanted.text);
    let inside = 0;
    for (const card of all(".card", section)) {
      card.hidden = !(fits(card) && (own || bears(card, wanted.text)));
      inside += card.hidden ? 0 : 1;
    }
    for (const sheet of all(".sheet", section)) sheet.hidden = all(".card", sheet).length > 0 && !one(".card:not([hidden])", sheet);
    section.hidden = !(fits(section) && (own || inside));
    if (!section.hidden) found.add(section.dataset.capability);
  }
  for (const row of all("[data-of]")) row.hidden = !found.has(row.dataset.of);
  for (const table of all(".slice-table")) table.hidden = !one("tbody tr:not([hidden])", table);
  for (const item of all("[data-item]")) item.hidden = !(fits(item) && bears(item, wanted.text));
  for (const group of all("[data-group]")) group.hidden = all("[data-item]", group).length > 0 && !one("[data-item]:not([hidden])", group);
  const total = all(".capability").length;
  one("#found").textContent = total && found.size < total ? `${found.size} of ${total} capabilities` : "";
  const nothing = one("#nothing");
  if (nothing) nothing.hidden = !total || found.size > 0;
  if (map) map.filter(wanted);
};

const keep = () => {
  const said = new URLSearchParams(Object.entries(filters()).filter(([, value]) => value));
  const hash = said.toString();
  history.replaceState(null, "", hash ? `#${hash}` : location.href.split("#")[0]);
};

const read = () => {
  const said = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
  for (const name of fields) {
    const field = form.elements[name];
    if (field.type === "checkbox") field.checked = said.get(name) === "1";
    else field.value = said.get(name) || "";
    if (field.tagName === "SELECT" && field.selectedIndex < 0) field.value = "";
  }
  apply();
};

// Moving about: the parts of the page in order, whatever is filtered out.
const go = (target) => {
  target.scrollIntoView({ block: "start", behavior: still.matches ? "auto" : "smooth" });
  target.focus({ preventScroll: true });
};
const step = (by) => {
  const stops = all("[data-stop]").filter((stop) => !stop.closest("[hidden]"));
  const here = document.activeElement && document.activeElement.closest("[data-stop]");
  let at = stops.indexOf(here);
  if (at < 0) at = stops.findIndex((stop) => stop.getBoundingClientRect().top > 80) - (by > 0 ? 1 : 0);
  const next = stops[Math.min(Math.max(at + by, 0), stops.length - 1)];
  if (next) go(next);
};
const along = (button, by) => {
  const sheet = all(".play", button.closest(".strip")).filter((other) => !other.closest("[hidden]"));
  const next = sheet[sheet.indexOf(button) + by];
  if (next) next.focus();
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest("input, select, textarea, video");
  if (event.key === "Escape") {
    if (event.target === form.elements.text) { form.elements.text.value = ""; keep(); apply(); }
    if (typing) event.target.blur();
    if (map) map.release();
    return;
  }
  if (typing) return;
  if (event.key === "/") { event.preventDefault(); form.elements.text.focus(); form.elements.text.select(); }
  else if (event.key === "j") step(1);
  else if (event.key === "k") step(-1);
  else if (event.target.matches(".strip .play") && event.key === "ArrowRight") along(event.target, 1);
  else if (event.target.matches(".strip .play") && event.key === "ArrowLeft") along(event.target, -1);
});

document.addEventListener("click", async (event) => {
  const link = event.target.closest('a[href^="#"]');
  const target = link && document.getElementById(link.getAttribute("href").slice(1));
  if (target) { event.preventDefault(); go(target); return; }
  const button = event.target.closest(".copy");
  if (!button) return;
  const code = button.parentElement.querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(code);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
});

// The map: hover or arrow keys choose a clip, Enter plays it.
const map = (() => {
  const data = one("#map-data") && JSON.parse(one("#map-data").textContent);
  if (!data) return null;
  const svg = one(".map svg"), readout = one(".readout"), ring = one(".ring", svg), dots = all("circle[data-at]", svg);
  const sheet = one("#map-sheet"), empty = readout.innerHTML;
  let chosen = -1, held = false;
  const tile = (at) => {
    const shown = document.createElement("span");
    shown.className = "tile-shot";
    if (!sheet || !data.pictured[at]) { shown.classList.add("none"); shown.textContent = "no picture kept"; return shown; }
    const across = Math.min(data.across, data.ids.length), rows = Math.ceil(data.ids.length / data.across);
    shown.style.backgroundImage = `url(${sheet.textContent.trim()})`;
    shown.style.backgroundSize = `${across * 12}rem ${rows * 6.75}rem`;
    shown.style.backgroundPosition = `-${(at % data.across) * 12}rem -${Math.floor(at / data.across) * 6.75}rem`;
    return shown;
  };
  const line = (text, kind) => Object.assign(document.createElement("p"), { textContent: text, className: kind || "" });
  const show = (at) => {
    if (at === chosen || at < 0) return;
    player.stop(false);
    chosen = at;
    ring.setAttribute("cx", data.x[at]);
    ring.setAttribute("cy", data.y[at]);
    ring.removeAttribute("visibility");
    const file = data.files[data.film[at]], uri = data.uris[data.film[at]];
    let picture = tile(at);
    if (uri) {
      const button = Object.assign(document.createElement("button"), { className: "play", type: "button" });
      button.dataset.video = `${uri}#t=${data.start[at]},${data.end[at]}`;
      button.setAttribute("aria-label", `Play clip ${data.ids[at]}`);
      button.append(picture);
      picture = button;
    }
    const shows = data.matches[at].map((number) => data.titles[number]).join(", ");
    readout.replaceChildren(picture, line(`${file}, ${data.start[at].toFixed(1)} to ${data.end[at].toFixed(1)} s`),
      line(shows ? `matches: ${shows}` : "matches no capability", "soft"), line(data.source[at], "soft"), line(data.ids[at], "select n"));
  };
  const nearest = (x, y) => {
    let best = -1, least = Infinity;
    for (let at = 0; at < data.ids.length; at++) {
      if (dots[at].classList.contains("dim")) continue;
      const distance = (data.x[at] - x) ** 2 + (data.y[at] - y) ** 2;
      if (distance < least) { least = distance; best = at; }
    }
    return [best, least];
  };
  const under = (event) => {
    const box = svg.getScreenCTM().inverse(), point = new DOMPoint(event.clientX, event.clientY).matrixTransform(box);
    const [best, distance] = nearest(point.x, point.y);
    return distance < 900 ? best : -1;
  };
  svg.addEventListener("pointermove", (event) => { if (!held) show(under(event)); });
  svg.addEventListener("click", (event) => { const at = under(event); held = at >= 0; show(at); });
  svg.addEventListener("keydown", (event) => {
    const turn = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (turn) {
      event.preventDefault();
      held = true;
      if (chosen < 0) { show(nearest(500, svg.viewBox.baseVal.height / 2)[0]); return; }
      let best = -1, least = Infinity;
      for (let at = 0; at < data.ids.length; at++) {
        const dx = data.x[at] - data.x[chosen], dy = data.y[at] - data.y[chosen];
        const ahead = dx * turn[0] + dy * turn[1], aside = Math.abs(dx * turn[1]) + Math.abs(dy * turn[0]);
        if (at === chosen || ahead <= 0 || aside > 2 * ahead || dots[at].classList.contains("dim")) continue;
        const cost = ahead + 1.5 * aside;
        if (cost < least) { least = cost; best = at; }
      }
      show(best);
    } else if (event.key === "Enter" && one(".play", readout)) player.play(one(".play", readout));
  });
  const colour = (by) => {
    const groups = data.by[by];
    dots.forEach((dot, at) => dot.setAttribute("class", `${dot.classList.contains("dim") ? "dim " : ""}k${data.groups[by][at]}`));
    one(".groups").replaceChildren(...groups.map((name, at) => {
      const entry = document.createElement("li"), mark = document.createElement("i");
      const grey = at === groups.length - 1 && data.groups[by].includes(-1);
      mark.className = grey ? "" : `k${at}`;
      entry.append(mark, name);
      return entry;
    }));
  };
  one("#map-by").addEventListener("change", (event) => colour(event.target.value));
  return {
    filter(wanted) {
      const number = wanted.capability ? data.capabilities.indexOf(wanted.capability) : -1;
      dots.forEach((dot, at) => {
        const fits = (!wanted.capability || data.matches[at].includes(number)) && (!wanted.source || data.source[at] === wanted.source);
        const bearing = !wanted.text || `${data.ids[at]} ${data.files[data.film[at]]}`.toLowerCase().includes(wanted.text)
          || data.matches[at].some((match) => `${data.capabilities[match]} ${data.titles[match]}`.toLowerCase().includes(wanted.text));
        dot.classList.toggle("dim", !(fits && bearing));
      });
    },
    release() {
      held = false;
      chosen = -1;
      ring.setAttribute("visibility", "hidden");
      readout.innerHTML = empty;
    },
  };
})();

form.addEventListener("input", () => { keep(); apply(); });
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(() => { keep(); apply(); }));
addEventListener("hashchange", read);
read();
