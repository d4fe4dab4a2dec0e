// The result beside the photo on one slider, and the file at full size.

import { attempt, get, post, postForBlob, tell } from "./api.js";
import { onChange, ready, setting, state } from "./state.js";

const by = (id) => document.getElementById(id);
const [stage, before, after, edge, cut, status, make, bar] = ["stage", "before", "after", "edge", "cut", "status", "make", "progress"].map(by);
let running = null;
let waiting = 0;

function slide() {
  after.style.clipPath = `inset(0 0 0 ${cut.value}%)`;
  edge.style.left = `${cut.value}%`;
}

async function redraw() {
  running?.abort();
  running = new AbortController();
  const mine = running;
  const began = performance.now();
  stage.classList.add("busy");
  status.textContent = "Stylizing…";
  try {
    const { blob } = await postForBlob("/api/preview", setting(), mine.signal);
    if (mine !== running) return;
    URL.revokeObjectURL(after.src);
    after.src = URL.createObjectURL(blob);
    await after.decode();
    tell("");
    status.textContent = `${((performance.now() - began) / 1000).toFixed(2)} s at screen size`;
  } catch (error) {
    if (mine !== running || error.name === "AbortError" || error.status === 409) return;
    status.textContent = "";
    tell(error.message);
  } finally {
    if (mine === running) stage.classList.remove("busy");
  }
}

function follow() {
  const content = state.contents[state.shown];
  stage.classList.toggle("empty", !content);
  by("hint").hidden = Boolean(content);
  before.hidden = !content;
  if (content) {
    const address = `/api/photos/${content.id}`;
    if (before.getAttribute("src") !== address) {
      before.src = address;
      before.width = content.screen[0];
      before.height = content.screen[1];
      before.style.height = "auto";
    }
  }
  for (const one of [after, edge]) one.hidden = !ready();
  cut.disabled = make.disabled = !ready();
  clearTimeout(waiting);
  // A knob that is dragged asks once it rests for a moment; the server skips what is out of date.
  if (ready()) waiting = setTimeout(redraw, 40);
  else status.textContent = content || state.styles.length ? `Now choose ${content ? "a style" : "a photo"}.` : "";
}

const download = attempt(async () => {
  make.disabled = true;
  bar.hidden = false;
  bar.value = 0;
  try {
    const { file } = await post("/api/full", setting());
    for (;;) {
      const now = await get(`/api/full/${file}`);
      if (now.error) throw new Error(now.error);
      bar.value = now.done;
      status.textContent = now.step === "done" ? [`${now.name} is ready`, ...now.notes].join("; ") : `Full size: ${now.step}…`;
      if (now.step === "done") break;
      await new Promise((done) => setTimeout(done, 150));
    }
    const link = document.createElement("a");
    link.href = `/api/full/${file}/file`;
    link.download = "";
    link.click();
  } finally {
    bar.hidden = true;
    make.disabled = !ready();
  }
});

export function startView() {
  cut.oninput = slide;
  stage.onpointermove = (event) => {
    if (event.buttons !== 1 || cut.disabled) return;
    const box = stage.getBoundingClientRect();
    cut.value = ((event.clientX - box.left) / box.width) * 100;
    slide();
  };
  for (const image of [before, after]) image.draggable = false;
  slide();
  make.onclick = download;
  onChange(follow);
}
