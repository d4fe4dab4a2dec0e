// What is chosen, and the setting that the server is sent.

export const state = { contents: [], styles: [], shown: 0, masks: null };
const listeners = [];

export function onChange(listener) {
  listeners.push(listener);
}

export function changed() {
  for (const listener of listeners) listener();
}

export const ready = () => state.contents.length > 0 && state.styles.length > 0;

export function setting() {
  const options = {};
  for (const knob of document.querySelectorAll("[data-knob]")) {
    const value = knob.type === "range" ? Number(knob.value) : knob.value;
    if (String(value) !== String(Number(knob.dataset.default) || knob.dataset.default)) options[knob.dataset.knob] = value;
  }
  return {
    contents: state.contents.map((photo) => photo.id),
    styles: state.styles.map((photo) => photo.id),
    weights: state.styles.map((photo) => photo.weight),
    shown: state.shown,
    model: document.getElementById("model").value,
    same_look: document.getElementById("same-look").checked,
    masks: state.masks,
    options,
  };
}
