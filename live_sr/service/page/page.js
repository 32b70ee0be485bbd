"use strict";
const find = (id) => document.getElementById(id);
const token = new URLSearchParams(location.hash.slice(1)).get("token") || sessionStorage.getItem("token") || "";
if (token) sessionStorage.setItem("token", token);
if (location.hash) history.replaceState(null, "", location.pathname);

const FINAL = ["finished", "failed", "cancelled"];
let models = [];
let info = null;
let job = null;
let source = null; // the chosen File
const urls = new Set(); // of the shown pictures, given back with the next ones

/** Nobody answers: the service does not run, or is being started again. */
class Unreachable extends Error {}

async function ask(path, options = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { ...options, headers: { ...headers, ...options.headers } }).catch(() => {
    const what = options.body ? "the file cannot be read or sent" : "the service cannot be reached";
    throw new Unreachable(`${what}: see that the service runs, and try again`);
  });
  if (answer.status === 401) {
    throw new Error("this page needs the service's token: open it with the address that live-sr printed, or with #token=TOKEN behind it");
  }
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({ detail: `the service answered ${answer.status}` }));
    throw new Error([said.detail, said.remedy].filter(Boolean).join(": "));
  }
  return answer;
}

function showNote(text) {
  find("note").textContent = text;
  find("note").hidden = !text;
}

const formatBytes = (bytes) => (bytes < 1e5 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

function showError(error) {
  find("error").textContent = error ? String(error.message || error) : "";
  find("error").hidden = !error;
}

function makeUrl(blob) {
  const url = URL.createObjectURL(blob);
  urls.add(url);
  return url;
}

async function loadInfo() {
  info = await (await ask("/info")).json();
  models = info.models;
  const box = find("model");
  box.replaceChildren(...models.map((model) => new Option(model.name, model.name)));
  if (models.some((model) => model.name === info.current.model)) box.value = info.current.model;
  find("about").textContent = `Enlarges pictures and videos on this machine, with the engine ${info.engine}.`;
  listScales(box.value === info.current.model ? String(info.current.scale) : "");
}

function listScales(wanted) {
  const model = models.find((one) => one.name === find("model").value);
  const box = find("scale");
  box.replaceChildren(...(model ? model.scales : [2]).map((scale) => new Option(`×${scale}`, scale)));
  if ([...box.options].some((option) => option.value === wanted)) box.value = wanted;
}

function choose(file) {
  source = file || null;
  find("chosen").textContent = file
    ? `${file.name}, ${formatBytes(file.size)}`
    : "or press Enter to choose a file";
  find("go").disabled = !source || isBusy();
}

const isBusy = () => job !== null && !FINAL.includes(job.state);

function showJob() {
  find("work").hidden = !isBusy();
  find("go").disabled = !source || isBusy();
  find("example").disabled = isBusy();
  find("measure").disabled = isBusy();
  if (!job) return;
  const bar = find("progress");
  if (job.total && job.state === "running" && job.kind !== "picture") {
    bar.max = job.total;
    bar.value = job.done;
  } else bar.removeAttribute("value");
  const things = job.kind === "measurement" ? "networks" : "frames";
  const part = job.total > 1 ? `: ${job.done} of ${job.total} ${things}` : "";
  find("state").textContent = job.state === "queued" ? `${job.name} waits for its turn` : `${job.name} is ${job.state}${part}`;
  document.title = job.total > 1 && isBusy() ? `${Math.floor((100 * job.done) / job.total)} % – live-sr` : "live-sr";
}

async function* readEvents(id) {
  // fetch and not EventSource, which cannot send the token
  const reader = (await ask(`/jobs/${id}/events`)).body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts) yield JSON.parse(part.replace(/^data: /, ""));
  }
}

async function follow(id) {
  for (;;) {
    try {
      for await (const state of readEvents(id)) {
        job = state;
        showJob();
      }
    } catch (error) {
      if (!(error instanceof Unreachable || error instanceof TypeError)) throw error; // a TypeError: it was lost meanwhile
    }
    if (FINAL.includes(job.state)) return;
    await new Promise((done) => setTimeout(done, 1000)); // the service restarts: the job goes on
  }
}

/** What is to be seen of an ended job. `finish` is called if it went well. */
async function concludeJob(finish) {
  if (job.state === "failed") throw new Error(job.message);
  if (job.state === "cancelled") showNote(`${job.name} was cancelled`);
  else if (job.message) showNote(job.message);
  if (job.state === "finished") await finish();
}

/** Has the service begin a job, and follows it to its end. `finish` is called if it went well. */
async function runJob(path, body, finish) {
  showError(null);
  showNote("");
  try {
    job = await (await ask(path, { method: "POST", body })).json();
    sessionStorage.setItem("job", job.id);
    showJob();
    await follow(job.id);
    await concludeJob(finish);
  } catch (error) {
    showError(error);
  } finally {
    sessionStorage.removeItem("job");
    if (isBusy()) job = null;
    showJob();
  }
}

async function upscale(file) {
  find("result").hidden = true;
  const form = new FormData();
  form.append("model", find("model").value);
  form.append("scale", find("scale").value);
  form.append("file", file, file.name);
  job = { id: "", name: file.name, kind: "", state: "being sent", done: 0, total: 0 };
  showJob();
  await runJob("/jobs", form, () => showResult(file));
}

async function showResult(file) {
  const answer = await ask(job.result);
  const made = await answer.blob();
  for (const url of urls) URL.revokeObjectURL(url);
  urls.clear();
  const url = makeUrl(made);
  find("compare").hidden = find("film").hidden = true;
  find("result").hidden = false;
  const named = /filename\*?=(?:utf-8'')?"?([^";]+)/i.exec(answer.headers.get("content-disposition") || "");
  find("download").href = url;
  find("download").download = named ? decodeURIComponent(named[1]) : job.name;
  find("facts").textContent = `${find("download").download}, ${formatBytes(made.size)}`;
  if (job.kind === "picture") await showPicture(url, file);
  else showFilm(url);
}

/** Shows a picture, with a dividing line if the one before it, a File, can be shown as well. */
async function showPicture(url, file) {
  const load = (image, from) => {
    image.src = from;
    return image.decode().then(() => true, () => false);
  };
  if (!(await load(find("after"), url))) return tellUnknown();
  const { naturalWidth, naturalHeight } = find("after");
  find("facts").textContent += `, ${naturalWidth}×${naturalHeight}`;
  find("stage").classList.toggle("alone", !file || !(await load(find("before"), makeUrl(file))));
  find("compare").hidden = false;
  find("slider").focus();
}

function showFilm(url) {
  const film = find("film");
  film.onerror = () => {
    film.hidden = true;
    tellUnknown();
  };
  film.src = url;
  film.hidden = false;
  film.focus();
}

function tellUnknown() {
  find("facts").textContent += ", of a kind that this browser cannot show";
  find("download").focus();
}

async function loadFigures() {
  const figures = await (await ask("/figures")).json();
  const rows = figures.map((figure) => {
    const gains = Object.values(figure.psnr_y).map((scores) => scores.model - scores.bicubic);
    const [least, most] = [Math.min(...gains), Math.max(...gains)].map((gain) => gain.toFixed(1));
    const gain = !gains.length ? "–" : least === most ? `${most} dB` : `${least} to ${most} dB`;
    const fps = figure.fps === null ? figure.left_out || "not measured" : figure.fps.toFixed(figure.fps < 10 ? 1 : 0);
    const row = document.createElement("tr");
    for (const text of [figure.model, `×${figure.scale}`, gain, fps, figure.engine]) row.insertCell().textContent = text;
    return row;
  });
  find("rows").replaceChildren(...rows);
  find("measure").hidden = !rows.length;
}

async function measure() {
  await runJob("/figures/measure", undefined, () => {});
  await loadFigures().catch(showError); // also what was measured before it was cancelled
}

function moveLine() {
  find("stage").style.setProperty("--at", `${find("slider").value}%`);
}

find("file").addEventListener("change", () => choose(find("file").files[0]));
find("model").addEventListener("change", () => listScales(find("scale").value));
find("slider").addEventListener("input", moveLine);
find("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (source && !isBusy()) upscale(source);
});
find("example").addEventListener("click", async () => {
  try {
    const blob = await (await ask("/example.png")).blob();
    const file = new File([blob], "example.png", { type: "image/png" });
    choose(file);
    await upscale(file);
  } catch (error) {
    showError(error);
  }
});
find("measure").addEventListener("click", () => {
  if (!isBusy()) measure();
});
find("cancel").addEventListener("click", () => {
  if (job && job.id) ask(`/jobs/${job.id}/cancel`, { method: "POST" }).catch(showError);
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  find("drop").classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) find("drop").classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  find("drop").classList.remove("over");
  if (event.dataTransfer.files.length) choose(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) choose(event.clipboardData.files[0]);
});

async function begin() {
  await loadInfo();
  loadFigures().catch(showError);
  const left = sessionStorage.getItem("job"); // this page was loaded again while it waited
  if (!left) return;
  try {
    job = await (await ask(`/jobs/${left}`)).json();
    await follow(left);
    await concludeJob(async () => job.result && showResult(null));
    if (job.kind === "measurement") await loadFigures();
  } finally {
    sessionStorage.removeItem("job");
    if (isBusy()) job = null; // it cannot be followed any longer
    showJob();
  }
}
begin().catch(showError);
