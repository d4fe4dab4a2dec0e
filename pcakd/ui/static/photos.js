// Choosing photos: dropped, from files, from the gallery, from the examples.

import { attempt, get, post, tell, upload } from "./api.js";
import { changed, state } from "./state.js";

const picker = document.getElementById("picker");
let picking = "contents";
let after = "";
let folder = "";

export function element(name, values = {}, ...children) {
  const made = Object.assign(document.createElement(name), values);
  made.append(...children);
  return made;
}

function draw(kind) {
  const list = document.querySelector(`#${kind} .cards`);
  list.replaceChildren(
    ...state[kind].map((photo, number) => {
      const picture = element("img", { src: `/api/photos/${photo.id}`, alt: photo.name });
      const item = element("li");
      if (kind === "contents") {
        const pick = element("button", { type: "button", className: "pick", ariaLabel: `Show ${photo.name}` }, picture);
        pick.setAttribute("aria-pressed", String(number === state.shown));
        pick.onclick = () => {
          state.shown = number;
          draw(kind);
          changed();
        };
        item.append(pick);
      } else {
        item.append(picture);
      }
      const about = [`${photo.name}, ${photo.size[0]}×${photo.size[1]}`, ...photo.notes].join("; ");
      item.append(element("span", {}, about));
      if (kind === "styles" && state.styles.length > 1) {
        const weight = element("input", { type: "number", min: 0, max: 100, step: 0.1, value: photo.weight });
        weight.setAttribute("aria-label", `Weight of ${photo.name}`);
        weight.onchange = () => {
          photo.weight = Math.max(0, Number(weight.value) || 0);
          changed();
        };
        item.append(weight);
      }
      const gone = element("button", { type: "button", className: "gone", ariaLabel: `Remove ${photo.name}` }, "×");
      gone.onclick = () => {
        state[kind].splice(number, 1);
        state.shown = Math.min(state.shown, Math.max(0, state.contents.length - 1));
        state.masks = null;
        draw(kind);
        changed();
      };
      item.append(gone);
      return item;
    }),
  );
}

function add(kind, photo) {
  state[kind].push({ ...photo, weight: 1 });
  if (kind === "contents") state.shown = state.contents.length - 1;
  state.masks = null;
  draw(kind);
  changed();
}

async function addFiles(kind, files) {
  const failed = [];
  for (const file of files) {
    try {
      add(kind, await upload(file));
    } catch (error) {
      failed.push(error.message);
    }
  }
  if (failed.length) tell(failed.join(" "));
}

function card(name, picture, take) {
  const pick = element("button", { type: "button", className: "pick" }, element("img", { src: picture, alt: "", loading: "lazy" }), name);
  pick.onclick = attempt(async () => {
    add(picking, await take());
    picker.close();
  });
  return element("li", {}, pick);
}

async function browse(into, more = false) {
  folder = into;
  const page = await get(`/api/gallery?folder=${encodeURIComponent(folder)}&after=${encodeURIComponent(more ? after : "")}`);
  after = page.after;
  document.getElementById("picker-place").textContent = folder || "All";
  const up = folder ? [folder.split("/").slice(0, -2).map((part) => `${part}/`).join("")] : [];
  document.getElementById("picker-folders").replaceChildren(
    ...[...up, ...page.folders].map((name, number) => {
      const open = element("button", { type: "button" }, number < up.length ? "Up" : name);
      open.onclick = attempt(() => browse(name));
      return element("li", {}, open);
    }),
  );
  const cards = page.photos.map((key) =>
    card(key.split("/").pop(), `/api/gallery/thumb?key=${encodeURIComponent(key)}`, () => post("/api/take", { key })),
  );
  const list = document.getElementById("picker-photos");
  if (more) list.append(...cards);
  else list.replaceChildren(...cards);
  document.getElementById("picker-more").hidden = !after;
}

function showExamples(names) {
  document.getElementById("picker-place").textContent = "Examples";
  document.getElementById("picker-folders").replaceChildren();
  document.getElementById("picker-more").hidden = true;
  const take = (name) => () => post("/api/take", { key: name, example: true });
  document.getElementById("picker-photos").replaceChildren(...names.map((name) => card(name, `/api/examples/${name}`, take(name))));
}

export function startPhotos(examples) {
  for (const kind of ["contents", "styles"]) {
    const drop = document.getElementById(kind);
    const input = drop.querySelector("input[type=file]");
    input.onchange = attempt(async () => {
      await addFiles(kind, [...input.files]);
      input.value = "";
    });
    drop.ondragover = (event) => {
      event.preventDefault();
      drop.classList.add("over");
    };
    drop.ondragleave = () => drop.classList.remove("over");
    drop.ondrop = attempt(async (event) => {
      event.preventDefault();
      event.stopPropagation();
      drop.classList.remove("over");
      await addFiles(kind, [...event.dataTransfer.files]);
    });
    drop.querySelector(".examples").onclick = () => {
      picking = kind;
      showExamples(examples);
      picker.showModal();
    };
    const open = drop.querySelector(".browse");
    if (open) {
      open.onclick = attempt(async () => {
        picking = kind;
        picker.showModal();
        await browse("");
      });
    }
  }
  const stage = document.getElementById("stage");
  stage.ondragover = (event) => event.preventDefault();
  stage.ondrop = attempt(async (event) => {
    event.preventDefault();
    for (const file of event.dataTransfer.files) await addFiles(state.contents.length ? "styles" : "contents", [file]);
  });
  document.getElementById("picker-close").onclick = () => picker.close();
  document.getElementById("picker-more").onclick = attempt(() => browse(folder, true));
}
