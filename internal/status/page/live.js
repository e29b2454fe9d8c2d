"use strict";

// Keeps an open page true: asks for it again every few seconds while somebody looks, and puts in what changed, node by node,
// so that focus, selection, place, open details and what is being typed stay as they are. Without it the page is the same,
// and does not move.
(() => {
  const every = 1000 * document.documentElement.dataset.every;
  if (!every) return;
  const longest = 30000; // between two attempts while the server is away
  const word = document.getElementById("live-word");
  const said = document.getElementById("said");
  const button = document.createElement("button");
  let paused = sessionStorage.getItem("paused") === "yes";
  let wait = every;
  let timer = 0;
  let asking = null;
  let away = ""; // since when the server was not reached

  const time = () => new Date().toLocaleTimeString("en-GB");

  function show(kind, text) {
    document.getElementById("live").dataset.is = kind;
    if (word.textContent !== text) word.textContent = text;
    button.textContent = paused ? "Resume" : "Pause";
  }

  // Makes old the same as now. Elements with an id are found again wherever they went.
  function morph(old, now) {
    if (old.isEqualNode(now)) return;
    const ours = (name) => name === "open" && old.localName === "details"; // opened or closed by a person
    for (const { name } of [...old.attributes]) if (!now.hasAttribute(name) && !ours(name)) old.removeAttribute(name);
    for (const { name, value } of now.attributes) if (old.getAttribute(name) !== value && !ours(name)) old.setAttribute(name, value);
    let place = old.firstChild;
    for (const child of now.childNodes) {
      let same = null;
      if (child.id) same = [...old.children].find((e) => e.id === child.id);
      else if (place && !place.id && place.nodeName === child.nodeName) same = place;
      if (!same) {
        old.insertBefore(document.importNode(child, true), place);
        continue;
      }
      if (same === place) place = place.nextSibling;
      else old.insertBefore(same, place);
      if (same.nodeType === Node.ELEMENT_NODE) morph(same, child);
      else if (same.nodeValue !== child.nodeValue) same.nodeValue = child.nodeValue;
    }
    while (place) {
      const next = place.nextSibling;
      place.remove();
      place = next;
    }
  }

  function put(text) {
    const next = new DOMParser().parseFromString(text, "text/html");
    const known = new Set([...document.querySelectorAll("#news li")].map((e) => e.id));
    const focused = document.activeElement;
    for (const old of document.querySelectorAll("[data-live]")) {
      const now = next.getElementById(old.id);
      if (now) morph(old, now);
    }
    if (focused !== document.activeElement) {
      (focused.isConnected ? focused : document.getElementById("main")).focus({ preventScroll: true });
    }
    document.title = next.title;
    document.getElementById("icon").href = next.getElementById("icon").getAttribute("href");
    const news = [...document.querySelectorAll("#news li")].filter((e) => !known.has(e.id)).map((e) => e.textContent);
    if (news.length) said.textContent = news.join(". ") + ".";
  }

  async function look() {
    clearTimeout(timer);
    if (paused || document.hidden || asking) return;
    const mine = (asking = new AbortController());
    const late = setTimeout(() => mine.abort(), 10000);
    try {
      const reply = await fetch(location.href, { signal: mine.signal, cache: "no-store", credentials: "same-origin" });
      if (!reply.ok && reply.status !== 404) throw new Error("answered " + reply.status);
      const text = await reply.text();
      if (!paused) {
        put(text);
        if (away) said.textContent = "The server is reached again.";
        away = "";
        wait = every;
        show("live", "Live.");
      }
    } catch (error) {
      if (!paused) {
        if (!away) {
          away = time();
          said.textContent = "The server is not reached. What is shown is not the latest.";
        }
        wait = Math.min(2 * wait, longest);
        show("away", "Server not reached since " + away + ".");
      }
    } finally {
      clearTimeout(late);
      asking = null;
      if (!paused) timer = setTimeout(look, wait);
    }
  }

  function turn() {
    show(paused ? "paused" : "live", paused ? "Paused." : "Live.");
    wait = every;
    look();
  }

  button.type = "button";
  button.id = "pause";
  button.addEventListener("click", () => {
    paused = !paused;
    away = "";
    sessionStorage.setItem("paused", paused ? "yes" : "no");
    turn();
  });
  document.getElementById("live").append(button);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && !away) look();
  });
  turn();
})();
