// Photos from a file, a drop, or the camera.

import { button, dialog, errorBox, h } from "./dom.js";

/** A place to drop a photo on, with a file picker and the camera beside it. `took` gets each photo. */
export function picker(label, took, { multiple = false } = {}) {
  const input = h("input", { type: "file", accept: "image/*", multiple, class: "file", "aria-label": `${label}: choose a file` });
  const take = (files) => {
    for (const file of [...files].slice(0, multiple ? undefined : 1)) took(file);
  };
  input.addEventListener("change", () => { take(input.files); input.value = ""; });
  const zone = h("label", { class: "drop" }, input, h("strong", {}, label), h("span", { class: "small" }, "Drop a photo here, or click to choose one"));
  zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    take(event.dataTransfer.files);
  });
  return h("div", { class: "picker" }, zone, button("Use the camera", async () => {
    const photo = await snapshot(label);
    if (photo) took(photo);
  }));
}

/** The camera's picture in a video element, or an error that says why there is none. */
export async function camera() {
  if (!navigator.mediaDevices) throw new Error("This browser gives the camera only to pages over HTTPS or on localhost.");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 } }, audio: false });
  } catch (error) {
    const words = { NotAllowedError: "The camera is not allowed for this page.", NotFoundError: "There is no camera." };
    throw new Error(words[error.name] ?? `The camera does not start: ${error.message}`);
  }
  const video = h("video", { muted: true, playsinline: true });
  video.muted = true;
  video.srcObject = stream;
  await video.play();
  return { video, stop: () => stream.getTracks().forEach((track) => track.stop()) };
}

/** The video's picture of now, as a JPEG of at most `widest` pixels across. */
export function still(video, widest = 1280) {
  const scale = Math.min(1, widest / video.videoWidth);
  const canvas = h("canvas", { width: Math.round(video.videoWidth * scale), height: Math.round(video.videoHeight * scale) });
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
}

function snapshot(label) {
  return new Promise((resolve) => {
    let taken = null;
    let running = null;
    const place = h("div", { class: "live" }, h("p", { class: "small" }, "Starting the camera..."));
    const shoot = button("Take the photo", async () => {
      const blob = await still(running.video);
      taken = new File([blob], "camera.jpg", { type: "image/jpeg" });
      box.close();
    }, "main");
    shoot.disabled = true;
    const box = dialog(label, place, h("div", { class: "actions" }, shoot));
    box.addEventListener("close", () => { running?.stop(); resolve(taken); });
    camera().then((c) => {
      running = c;
      if (!box.open) return c.stop();
      place.replaceChildren(c.video);
      shoot.disabled = false;
      shoot.focus();
    }, (error) => place.replaceChildren(errorBox(error)));
  });
}

/** An image of the photo; its address is freed when it has loaded. A file that the browser cannot show is named. */
export function preview(photo, alt) {
  const url = URL.createObjectURL(photo);
  const place = h("div", { class: "shown" });
  const image = h("img", {
    src: url, alt, class: "preview",
    onload: () => URL.revokeObjectURL(url),
    onerror: () => {
      URL.revokeObjectURL(url);
      const what = photo.type && !photo.type.startsWith("image/") ? "This is no photo" : "This browser cannot show it";
      place.replaceChildren(h("p", { class: "preview none small" }, h("strong", {}, photo.name ?? "a photo"), h("br"), `${what}.`));
    },
  });
  place.append(image);
  return place;
}
