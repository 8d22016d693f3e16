"use strict";
const $ = (id) => document.getElementById(id);
const KINDS = {image: "a picture", video: "a film", audio: "a recording"};
const MAX_NAME = 200;
let server = {};

const megabytes = (bytes) => `${+(bytes / 1e6).toPrecision(3)} MB`;
const percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;

async function connect() {
  try {
    const answer = await fetch("health");
    server = await answer.json();
    if (!answer.ok) throw new Error(server.error);
  } catch (error) {
    $("notice").textContent = `The server does not answer: ${error.message}`;
    return;
  }
  $("about").textContent = `Model “${server.model}” reads ${server.modalities.join(", ")}`;
  $("about").hidden = false;
  const kinds = server.modalities.filter((name) => KINDS[name]).map((name) => KINDS[name]);
  const last = kinds.pop();
  $("kinds").textContent = kinds.length ? `${kinds.join(", ")} or ${last}` : last;
  const lasts = server.modalities.includes("video") || server.modalities.includes("audio");
  $("limits").textContent = `up to ${megabytes(server.max_upload_bytes)} each`
    + (lasts ? `, up to ${server.max_seconds} s long` : "");
  $("question").hidden = !server.reads_text;
  if (server.answers) $("text-label").textContent = "Your question about each file (required)";
}

function captionFiles(files) {
  $("notice").textContent = "";
  if (server.answers && !$("text").value.trim()) {
    $("notice").textContent = "This model answers questions: write one first, then drop the file again.";
    $("text").focus();
    return;
  }
  for (const file of files) captionFile(file);
}

function captionFile(file) {
  const card = $("result").content.cloneNode(true).firstElementChild;
  const show = (name) => card.querySelector(name);
  show("h2").textContent = file.name;
  showMedia(show(".media"), file);
  $("results").prepend(card);
  const fail = (message) => {
    show(".progress").remove();
    show(".error").textContent = message;
    $("status").textContent = "";
  };
  if (file.size > server.max_upload_bytes) {
    fail(`This file has ${megabytes(file.size)}; at most ${megabytes(server.max_upload_bytes)} are accepted.`);
    return;
  }
  const settings = settingsOf(file);
  send(file, settings, show(".progress")).then((row) => {
    show(".progress").remove();
    const buttons = showCaption(card, row);
    $("status").textContent = `Caption of ${file.name}: ${row.caption}`;
    if (server.explains && row.caption) showMaps(card, file, settings, buttons);
  }, (error) => fail(error.message));
}

/* The caption is shown before its heat maps are computed, which takes longer. */
async function showMaps(card, file, settings, buttons) {
  const hint = card.querySelector(".hint"), before = hint.textContent;
  hint.textContent = `${before} Computing where the model looks …`;
  settings.set("explain", "true");
  try {
    const row = await send(file, settings, null);
    if (Object.keys(row.maps).length > 0 && row.words.length === buttons.length) {
      hint.textContent = `${before} Point at a word, or choose it, to see where the model looks.`;
      explain(card, row, buttons);
    } else {
      hint.textContent = before;
    }
  } catch (error) {
    hint.textContent = `${before} No heat maps: ${error.message}`;
  }
}

function settingsOf(file) {
  const query = new URLSearchParams({name: file.name.slice(-MAX_NAME), token_scores: "true"});
  for (const [key, id] of [["text", "text"], ["num_beams", "beams"], ["num_return_sequences", "texts"]]) {
    const value = $(id).value.trim();
    if (value) query.set(key, value);
  }
  return query;
}

function send(file, settings, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `caption?${settings}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.responseType = "json";
    if (progress) {
      const [bar, label] = progress.children;
      request.upload.onprogress = (event) => {
        bar.value = event.loaded / event.total;
        label.textContent = `Uploading, ${percent(event.loaded / event.total)}`;
      };
      request.upload.onload = () => {
        bar.removeAttribute("value");
        label.textContent = "Captioning …";
      };
    }
    request.onerror = () => reject(new Error("The connection to the server was lost. Is it still running?"));
    request.onload = () => {
      const answer = request.response;
      if (request.status === 200 && answer) resolve(answer);
      else reject(new Error(answer?.error ?? `The server answered with status ${request.status}.`));
    };
    request.send(file);
  });
}

function showMedia(place, file) {
  const url = URL.createObjectURL(file);
  const kind = file.type.split("/")[0];
  if (kind === "audio") {
    place.append(Object.assign(document.createElement("audio"), {src: url, controls: true}));
    return;
  }
  const stage = Object.assign(document.createElement("div"), {className: "stage"});
  const media = document.createElement(kind === "video" ? "video" : "img");
  if (kind === "video") Object.assign(media, {controls: true, muted: true, loop: true});
  else media.alt = "";
  media.onload = () => media.classList.toggle("small", media.naturalWidth < 160);
  media.onerror = () => stage.remove();  // a format that the browser cannot show
  media.src = url;
  stage.append(media);
  place.append(stage);
}

function showCaption(card, row) {
  const line = card.querySelector(".caption");
  const words = row.words ?? [{word: row.caption, probability: null}];
  if (!row.caption) card.querySelector(".hint").textContent = "The model generated an empty text.";
  const buttons = words.map((word) => {
    const button = Object.assign(document.createElement(server.explains ? "button" : "span"), {className: "word"});
    if (server.explains) button.type = "button";
    button.append(Object.assign(document.createElement("b"), {textContent: word.word}), " ");
    if (word.probability !== null) {
      button.append(document.createElement("i"));
      button.append(Object.assign(document.createElement("small"), {textContent: percent(word.probability)}));
      button.style.setProperty("--share", `${100 * word.probability}%`);
    }
    return button;
  });
  line.append(...buttons);
  if (row.caption) {
    const score = row.score.toFixed(3);
    card.querySelector(".hint").textContent =
      `Below each word: its probability by the model. Mean log-probability per token: ${score}.`;
  }
  for (const other of row.alternatives ?? []) {
    const item = document.createElement("li");
    item.textContent = `${other.caption} (${other.score.toFixed(3)})`;
    card.querySelector(".alternatives").append(item);
  }
  return buttons;
}

function explain(card, row, buttons) {
  card.classList.add("explained");
  const media = card.querySelector(".media");
  const maps = Object.fromEntries(Object.entries(row.maps).map(([name, map]) => [name, unpacked(map)]));
  for (const map of Object.values(maps)) {
    // a modality that has little part in a word is shown weakly
    map.strength = map.shares.map((share, i) =>
      share / Math.max(...Object.values(maps).map((other) => other.shares[i]), 1e-9));
  }
  const layers = [
    ...("image" in maps ? pictureLayers(media, maps.image) : []),
    ...("video" in maps ? frameLayers(media, maps.video, row.frames) : []),
    ...("audio" in maps ? audioLayers(media, maps.audio) : []),
  ];
  let chosen = null;
  const several = Object.keys(maps).length > 1;
  const sharesOf = (number) => Object.entries(maps)
    .map(([name, map]) => `${name} ${percent(map.shares[number])}`).join(", ");
  const show = (number) => {
    media.classList.toggle("mapped", number !== null);
    const line = number === null || !several ? "" : `“${row.words[number].word}”: ${sharesOf(number)}`;
    card.querySelector(".shares").textContent = line;
    if (number !== null) for (const draw of layers) draw(number);
  };
  for (const [number, button] of buttons.entries()) {
    button.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-label",
      `${row.words[number].word}, probability ${percent(row.words[number].probability)}, relevance: ${sharesOf(number)}`);
    button.onmouseenter = button.onfocus = () => show(number);
    button.onmouseleave = button.onblur = () => show(chosen);
    button.onclick = () => {
      chosen = chosen === number ? null : number;
      for (const [i, each] of buttons.entries()) each.setAttribute("aria-pressed", String(i === chosen));
      show(chosen ?? number);
    };
  }
}

function unpacked({shape, values, shares}) {
  const bytes = Uint8Array.from(atob(values), (letter) => letter.charCodeAt(0));
  const size = bytes.length / shape[0];
  return {shape: shape.slice(1), shares, of: (number) => bytes.subarray(number * size, (number + 1) * size)};
}

// dark violet over red to light yellow, as matplotlib's "inferno"
const COLORS = [[0, 0, 4], [40, 11, 84], [101, 21, 110], [159, 42, 99], [212, 72, 66], [245, 125, 21], [250, 193, 39], [252, 255, 164]];

function color(share) {
  const place = share * (COLORS.length - 1), i = Math.min(Math.floor(place), COLORS.length - 2);
  return COLORS[i].map((from, k) => from + (place - i) * (COLORS[i + 1][k] - from));
}

function paint(canvas, values, height, width, strength) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d"), pixels = context.createImageData(width, height);
  for (let i = 0; i < values.length; i++) {
    const value = values[i] / 255 * strength;
    pixels.data.set([...color(value), 255 * Math.min(1, 0.25 + value ** 0.7)], 4 * i);
  }
  context.putImageData(pixels, 0, 0);
}

/* The map covers the square that the model reads of the picture. */
function place(canvas, image) {
  const {naturalWidth: w, naturalHeight: h} = image, box = image.getBoundingClientRect();
  const scale = Math.min(box.width / w, box.height / h);
  const side = {crop: Math.min(w, h), pad: Math.max(w, h)}[server.resize_mode];
  const [width, height] = side ? [side, side] : [w, h];
  Object.assign(canvas.style, {
    width: `${width * scale}px`, height: `${height * scale}px`,
    left: `${(box.width - width * scale) / 2}px`, top: `${(box.height - height * scale) / 2}px`,
    clipPath: `inset(${Math.max(0, (height - h) / 2 * scale)}px ${Math.max(0, (width - w) / 2 * scale)}px)`,
  });
}

function layer(parent) {
  const canvas = document.createElement("canvas");
  canvas.setAttribute("aria-hidden", "true");
  parent.append(canvas);
  return canvas;
}

function pictureLayers(media, map) {
  const stage = media.querySelector(".stage"), image = stage?.querySelector("img");
  if (!image || map.shape.length !== 2) return [];
  const canvas = layer(stage);
  return [(number) => {
    place(canvas, image);
    paint(canvas, map.of(number), ...map.shape, map.strength[number]);
  }];
}

function frameLayers(media, map, frames) {
  const strip = Object.assign(document.createElement("div"), {className: "frames"});
  media.append(strip);
  const size = map.shape[1] * map.shape[2];
  return frames.map((source, i) => {
    const stage = Object.assign(document.createElement("div"), {className: "stage"});
    stage.append(Object.assign(document.createElement("img"), {src: source, alt: `Frame ${i + 1} that the model read`}));
    strip.append(stage);
    const canvas = layer(stage);
    Object.assign(canvas.style, {inset: "0", width: "100%", height: "100%"});
    return (number) => {
      const own = map.of(number).subarray(i * size, (i + 1) * size);
      paint(canvas, own, map.shape[1], map.shape[2], map.strength[number]);
    };
  });
}

function audioLayers(media, map) {
  const strip = Object.assign(document.createElement("div"), {className: "strip", title: "Relevance over the time of the sound"});
  media.append(strip);
  const canvas = layer(strip);
  Object.assign(canvas.style, {inset: "0", width: "100%", height: "100%"});
  const [steps, bands = 1] = map.shape;
  return [(number) => {
    const values = map.of(number), turned = new Uint8Array(values.length);
    for (let t = 0; t < steps; t++) for (let f = 0; f < bands; f++) turned[(bands - 1 - f) * steps + t] = values[t * bands + f];
    paint(canvas, turned, bands, steps, map.strength[number]);
  }];
}

const drop = $("drop");
for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();  // a file dropped beside the field would replace the page
    drop.classList.toggle("over", name === "dragenter" || name === "dragover");
  });
}
document.addEventListener("drop", (event) => captionFiles(event.dataTransfer.files));
document.addEventListener("paste", (event) => captionFiles(event.clipboardData.files));
$("file").addEventListener("change", () => {
  captionFiles([...$("file").files]);
  $("file").value = "";
});
$("form").addEventListener("submit", (event) => event.preventDefault());
connect();
