// Asking the server, and telling what it says.

const meta = document.querySelector("meta[name=pcakd]").dataset;
export const voter = meta.voter;
export const maxUpload = Number(meta.maxUpload);

export function tell(words) {
  document.getElementById("error").textContent = words;
}

// An answer, or an Error with the server's one line; status 0: the server cannot be reached.
async function ask(address, options = {}) {
  let answer;
  try {
    answer = await fetch(address, { ...options, headers: { "x-pcakd-page": meta.token } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The page's server cannot be reached; is `pcakd ui` running?");
  }
  if (answer.ok) return answer;
  const text = await answer.text();
  let words = text;
  try {
    words = JSON.parse(text).error ?? text;
  } catch {
    // Plain text is its own line.
  }
  throw Object.assign(new Error(words), { status: answer.status });
}

export async function get(address) {
  return (await ask(address)).json();
}

export async function post(address, record) {
  return (await ask(address, { method: "POST", body: JSON.stringify({ voter, ...record }) })).json();
}

export async function postForBlob(address, record, signal) {
  const answer = await ask(address, { method: "POST", body: JSON.stringify({ voter, ...record }), signal });
  const disposition = answer.headers.get("content-disposition") ?? "";
  return { blob: await answer.blob(), name: decodeURIComponent(disposition.split("''")[1] ?? "") };
}

export async function upload(file) {
  if (file.size > maxUpload) {
    throw new Error(`${file.name}: is larger than ${Math.round(maxUpload / 1e6)} MB, which this page takes at most`);
  }
  const address = `/api/photos?name=${encodeURIComponent(file.name)}`;
  return (await ask(address, { method: "POST", body: file })).json();
}

export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// Runs what a user asked for; what goes wrong is one line at the top.
export function attempt(work) {
  return async (...words) => {
    tell("");
    try {
      await work(...words);
    } catch (error) {
      if (error.name !== "AbortError" && error.status !== 409) tell(error.message);
    }
  };
}
