// Regions painted on the photo and on the style: two pictures of flat colours, as masks are.

import { attempt, save } from "./api.js";
import { changed, onChange, state } from "./state.js";

const KINDS = ["contents", "styles"];
const painted = { contents: false, styles: false };
const of = (kind) => document.getElementById(`paint-${kind}`);
const photoOf = (kind) => (kind === "contents" ? state.contents[state.shown] : state.styles[0]);

function dab(kind, x, y) {
  const canvas = of(kind);
  const pen = canvas.getContext("2d");
  const colour = document.getElementById("brush-colour").value;
  const radius = (Number(document.getElementById("brush-size").value) / 200) * Math.max(canvas.width, canvas.height);
  pen.globalCompositeOperation = colour ? "source-over" : "destination-out";
  pen.fillStyle = colour || "#000";
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.fill();
  painted[kind] = true;
}

// A mask has flat colours alone: the brush's soft edge goes to the nearer side.
async function maskOf(kind) {
  const canvas = of(kind);
  const flat = new OffscreenCanvas(canvas.width, canvas.height);
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const colours = [...document.getElementById("brush-colour").options].map((one) => one.value).filter(Boolean)
    .map((text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16)));
  for (let i = 0; i < pixels.data.length; i += 4) {
    let best = [0, 0, 0];
    if (pixels.data[i + 3] >= 128) {
      let nearest = Infinity;
      for (const colour of colours) {
        const far = colour.reduce((sum, value, at) => sum + (value - pixels.data[i + at]) ** 2, 0);
        if (far < nearest) [nearest, best] = [far, colour];
      }
    }
    pixels.data.set([...best, 255], i);
  }
  flat.getContext("2d").putImageData(pixels, 0, 0);
  return flat.convertToBlob({ type: "image/png" });
}

async function base64(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}

async function take() {
  if (!painted.contents || !painted.styles) return;
  const [content, style] = await Promise.all(KINDS.map(async (kind) => base64(await maskOf(kind))));
  state.masks = { content, style };
  changed();
}

function fit() {
  for (const kind of KINDS) {
    const photo = photoOf(kind);
    const canvas = of(kind);
    if ((canvas.dataset.photo ?? "") === (photo?.id ?? "")) continue;
    canvas.dataset.photo = photo?.id ?? "";
    [canvas.width, canvas.height] = photo?.screen ?? [300, 150];
    const shown = document.getElementById(`paint-${kind}-photo`);
    if (photo) shown.src = `/api/photos/${photo.id}`;
    else shown.removeAttribute("src");
    painted[kind] = false;
    state.masks = null;
  }
}

function listen(kind) {
  const canvas = of(kind);
  const brush = { x: 0.5, y: 0.5 };
  const paint = (event) => {
    const box = canvas.getBoundingClientRect();
    brush.x = (event.clientX - box.left) / box.width;
    brush.y = (event.clientY - box.top) / box.height;
    dab(kind, brush.x * canvas.width, brush.y * canvas.height);
  };
  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    paint(event);
  };
  canvas.onpointermove = (event) => event.buttons && paint(event);
  canvas.onpointerup = attempt(take);
  canvas.onkeydown = attempt(async (event) => {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!steps && event.key !== " ") return;
    event.preventDefault();
    if (steps) {
      brush.x = Math.min(1, Math.max(0, brush.x + steps[0] * 0.04));
      brush.y = Math.min(1, Math.max(0, brush.y + steps[1] * 0.04));
      canvas.setAttribute("aria-label", `Brush at ${Math.round(brush.x * 100)} % from the left, ${Math.round(brush.y * 100)} % from the top`);
    } else {
      dab(kind, brush.x * canvas.width, brush.y * canvas.height);
      await take();
    }
  });
}

export function startRegions() {
  KINDS.forEach(listen);
  onChange(fit);
  document.getElementById("brush-clear").onclick = () => {
    for (const kind of KINDS) {
      const canvas = of(kind);
      canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
      painted[kind] = false;
    }
    state.masks = null;
    changed();
  };
  document.getElementById("masks-save").onclick = attempt(async () => {
    if (!state.masks) throw new Error("Paint on the photo and on the style first.");
    save(await maskOf("contents"), "content-mask.png");
    save(await maskOf("styles"), "style-mask.png");
  });
}
