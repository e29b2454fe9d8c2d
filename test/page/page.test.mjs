// The status page in a real browser, in front of the real server. Pictures of what was seen are left in artifacts/.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import axe from "axe-core";
import { chromium } from "playwright-core";

import { Estate } from "./estate.mjs";

const artifacts = join(dirname(fileURLToPath(import.meta.url)), "artifacts");
// As Debian's chromium is started where there is no user, no screen and nobody to greet.
const flags = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--host-resolver-rules=MAP other.example.net 127.0.0.1, MAP kms.corp.example.org 127.0.0.1",
];

let estate, profile, browser;

before(async () => {
  await mkdir(artifacts, { recursive: true });
  estate = await Estate.start();
  await estate.call(30);
  await estate.announce();
  profile = await mkdtemp(join(tmpdir(), "kms-page-profile-"));
  browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: [...flags, `--disk-cache-dir=${profile}`] });
});

after(async () => {
  await browser?.close();
  await estate?.stop();
  if (profile) await rm(profile, { recursive: true, force: true });
});

const desk = { width: 1280, height: 900 };
const phone = { width: 320, height: 640 };

// paths is every page, by the name of its picture.
const paths = () => ({
  overview: "/",
  hosts: "/hosts",
  host: `/hosts?host=${estate.endpoints[2]}`,
  ill: "/hosts?ill=true",
  clients: "/clients",
  "clients-none": "/clients?search=nobody&silent=150",
  announcements: "/announcements",
  ask: "/why",
  codes: "/codes",
  code: "/codes?code=0xC004F074",
  why: "/why?client=REHEARSAL-0007",
});

// open gives do a page of its own, and fails if the page complains about anything or asks for something that does not come.
async function open(options, work) {
  const context = await browser.newContext({ viewport: desk, ...options });
  try {
    const page = await context.newPage();
    const complaints = [];
    page.on("console", (m) => ["error", "warning"].includes(m.type()) && complaints.push(`console: ${m.text()}`));
    page.on("pageerror", (e) => complaints.push(`error: ${e.message}`));
    page.on("dialog", (d) => {
      complaints.push(`dialog: ${d.message()}`);
      d.dismiss();
    });
    // What a page asked for when it was left is not missed.
    page.on("requestfailed", (r) => {
      const { errorText } = r.failure();
      if (errorText !== "net::ERR_ABORTED") complaints.push(`request: ${r.url()} ${errorText}`);
    });
    page.on("response", (r) => r.status() >= 400 && complaints.push(`response: ${r.url()} ${r.status()}`));
    page.on("request", (r) => r.url().startsWith(estate.url) || complaints.push(`asked elsewhere: ${r.url()}`));
    await work(page, complaints);
    assert.deepEqual(complaints, []);
  } finally {
    await context.close();
  }
}

const goto = (page, path) => page.goto(estate.url + path, { waitUntil: "load" });

// judge has axe look at the page.
async function judge(page, where) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const found = violations.flatMap((v) => v.nodes.map((n) => `${where}: ${v.id}: ${n.html.slice(0, 200)}: ${n.failureSummary}`));
  assert.deepEqual(found, []);
}

// fits fails if the page is wider than the screen.
async function fits(page, where) {
  const [wide, width] = await page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    return [scrollWidth, clientWidth];
  });
  assert.ok(wide <= width, `${where} is ${wide} wide on a screen of ${width}`);
}

// says waits until the word beside the pause button is as wanted.
const says = (page, wanted) =>
  page.waitForFunction(
    (pattern) => new RegExp(pattern).test(document.getElementById("live-word").textContent),
    wanted.source,
    { timeout: 60_000 },
  );

for (const [kind, options] of Object.entries({
  light: { colorScheme: "light" },
  dark: { colorScheme: "dark" },
  phone: { colorScheme: "light", viewport: phone, isMobile: true, hasTouch: true },
  "phone-dark": { colorScheme: "dark", viewport: phone, isMobile: true, hasTouch: true },
})) {
  test(`every page is sound and accessible: ${kind}`, () =>
    open(options, async (page) => {
      for (const [name, path] of Object.entries(paths())) {
        await goto(page, path);
        const closed = page.locator("details:not([open]) > summary");
        while (await closed.count()) await closed.first().click();
        await fits(page, path);
        await judge(page, `${kind} ${path}`);
        await page.screenshot({ path: join(artifacts, `${name}-${kind}.png`), fullPage: true });
      }
    }));
}

test("a page that is not there says so, and is accessible", () =>
  open({}, async (page, complaints) => {
    for (const [path, title] of [
      ["/nothing", "Not here"],
      ["/hosts?colour=red", "Not understood"],
      ["/why?client=nobody-knows-me", "nobody-knows-me"],
    ]) {
      await goto(page, path);
      assert.equal(await page.locator("h1").textContent(), title);
      assert.equal(await page.locator("#pause").count(), 0, "what is not there does not come by looking again");
      await judge(page, path);
    }
    assert.equal(complaints.filter((c) => /40[04]/.test(c)).length, complaints.length, complaints.join("\n"));
    complaints.length = 0; // that these answered 400 and 404 is what this is about
  }));

test("a host dies and the page shows it without being loaded again", () =>
  open({}, async (page) => {
    const victim = estate.endpoints[1];
    const other = estate.endpoints[0];
    const overview = await page.context().newPage();
    await goto(overview, "/");
    await goto(page, "/hosts");
    for (const p of [page, overview]) await p.evaluate(() => (window.loaded = "once"));
    const card = page.getByRole("article").filter({ has: page.getByRole("heading", { name: victim }) });
    await card.locator(".state.s-up").waitFor();
    // Somebody is in the middle of something: has opened a part, marked a text, scrolled and stands on a link.
    await card.locator("details > summary").first().click();
    await page.getByRole("link", { name: other }).last().focus();
    await page.evaluate(() => {
      const range = document.createRange();
      range.selectNodeContents(document.querySelector("h1"));
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      scrollTo(0, 120);
    });
    const standing = () =>
      page.evaluate(() => [
        document.activeElement.textContent,
        String(getSelection()),
        scrollY,
        window.loaded,
        document.querySelectorAll("details[open]").length,
      ]);
    const was = await standing();
    assert.deepEqual(was, [other, "Hosts", 120, "once", 1]);

    await estate.killHost(victim);
    await card.locator(".state.s-down").first().waitFor();
    assert.match(await card.textContent(), /refused: nothing listens there/);
    const said = await page.locator("#said").textContent();
    assert.ok(["suspect", "down"].some((state) => said.includes(`${victim} is ${state}, after`)), said);
    assert.deepEqual(await standing(), was);
    assert.equal(await page.locator("#said").getAttribute("aria-live"), "polite");

    const row = overview.locator(".absent > li").filter({ hasText: victim });
    await row.waitFor();
    assert.match(await row.textContent(), /down/);
    await overview.locator(".findings li").filter({ hasText: victim }).waitFor();
    assert.equal(await overview.evaluate(() => window.loaded), "once");
    assert.match(await overview.title(), /^(warning|critical) · Overview/);
    await overview.screenshot({ path: join(artifacts, "died.png"), fullPage: true });
    assert.equal(await overview.locator(".records:not(.absent) > li").filter({ hasText: victim }).count(), 0);

    await estate.startHost(victim);
    await card.locator(".state.s-up").first().waitFor({ timeout: 60_000 });
  }));

test("what is being typed stays while the page changes", () =>
  open({}, async (page) => {
    await goto(page, "/clients");
    await page.getByLabel("Search", { exact: true }).pressSequentially("REHEARSAL-00");
    await page.getByLabel("Last call", { exact: true }).selectOption("90");
    await page.getByLabel("never served").check();
    const shown = await page.locator("#as-of").textContent();
    await page.waitForFunction((was) => document.getElementById("as-of").textContent !== was, shown); // it looks every ten seconds
    assert.equal(await page.getByLabel("Search", { exact: true }).inputValue(), "REHEARSAL-00");
    assert.equal(await page.getByLabel("Last call", { exact: true }).inputValue(), "90");
    assert.ok(await page.getByLabel("never served").isChecked());
  }));

test("it can be paused, stays paused on other pages, and goes on", () =>
  open({}, async (page) => {
    await page.clock.install();
    let looks = 0;
    page.on("request", (r) => r.resourceType() === "fetch" && looks++);
    await goto(page, "/");
    await says(page, /^Live\.$/);
    await page.getByRole("button", { name: "Pause" }).click();
    assert.equal(await page.locator("#live-word").textContent(), "Paused.");
    for (const path of ["/", "/hosts"]) {
      await goto(page, path);
      looks = 0;
      await page.clock.runFor(60_000);
      assert.equal(looks, 0, `${path} looks although it is paused`);
      assert.equal(await page.locator("#live-word").textContent(), "Paused.");
    }
    const look = page.waitForRequest((r) => r.resourceType() === "fetch");
    await page.getByRole("button", { name: "Resume" }).click();
    await look;
    await says(page, /^Live\.$/);
  }));

test("it says since when the server is not reached, asks less often, and goes on when it is back", () =>
  open({}, async (page, complaints) => {
    await goto(page, "/hosts");
    await says(page, /^Live\.$/);
    await page.evaluate(() => (window.loaded = "once"));
    const asked = [];
    page.on("request", () => asked.push(Date.now()));
    await estate.killServer();
    await says(page, /^Server not reached since \d\d:\d\d:\d\d\.$/);
    const text = await page.locator("#live-word").textContent();
    assert.match(await page.locator("#said").textContent(), /not reached/);
    await page.screenshot({ path: join(artifacts, "away.png") });
    asked.length = 0;
    await page.waitForRequest(() => true);
    await page.waitForRequest(() => true);
    assert.ok(asked[1] - asked[0] > 6_000, `the next look came after ${asked[1] - asked[0]} ms`);
    assert.equal(await page.locator("#live-word").textContent(), text, "since when changes while it is away");
    await estate.startServer();
    await says(page, /^Live\.$/);
    assert.equal(await page.evaluate(() => window.loaded), "once");
    complaints.length = 0; // that requests failed is what this is about
    await estate.call(30);
  }));

// focused says what has the focus, whether that can be seen to have it, and whether it is on the screen.
const focused = (page) =>
  page.evaluate(() => {
    const e = document.activeElement;
    if (!e || e === document.body) return null;
    const style = getComputedStyle(e);
    const box = e.getBoundingClientRect();
    return {
      what: (e.id || e.getAttribute("href") || e.textContent || e.name).slice(0, 80),
      index: [...document.querySelectorAll("*")].indexOf(e),
      seen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
      there: box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < innerHeight,
    };
  });

test("everything is reached by keyboard, in order, to be seen, and left again", () =>
  open({}, async (page) => {
    await goto(page, "/");
    await page.evaluate(() => sessionStorage.setItem("paused", "yes")); // so that nothing comes or goes meanwhile
    for (const path of Object.values(paths())) {
      await goto(page, path);
      const wanted = await page.evaluate(() =>
        [...document.querySelectorAll("a[href], button, input, select, summary")]
          .filter((e) => e.checkVisibility() && !(e.closest("details:not([open])") && !e.matches("details > summary")))
          .map((e) => [...document.querySelectorAll("*")].indexOf(e)),
      );
      const got = [];
      for (const _ of wanted) {
        await page.keyboard.press("Tab");
        const f = await focused(page);
        assert.ok(f, `${path}: after ${got.length} of ${wanted.length} nothing has the focus`);
        assert.ok(f.seen && f.there, `${path}: ${JSON.stringify(f)} has the focus, and that is not to be seen`);
        got.push(f.index);
      }
      assert.deepEqual(got, wanted, `${path}: the focus goes elsewhere than from the first to the last`);
      await page.keyboard.press("Tab"); // and out, to the browser's own or around
      assert.notEqual((await focused(page))?.index, wanted.at(-1), `${path}: the last does not let go`);
    }
  }));

test("skip link, navigation, pause, search and details by keyboard alone", () =>
  open({}, async (page) => {
    const tabTo = async (what) => {
      for (let i = 0; i < 200; i++) {
        await page.keyboard.press("Tab");
        if ((await focused(page))?.what === what) return;
      }
      assert.fail(`${what} is not reached`);
    };
    await goto(page, "/");
    await page.keyboard.press("Tab");
    assert.equal((await focused(page)).what, "#main");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "main");
    await page.keyboard.press("Tab");
    assert.equal(await page.locator("main :focus").count(), 1, "skipping leads into the content");

    for (const [path, heading] of [
      ["/hosts", "Hosts"],
      ["/announcements", "Announcements"],
      ["/why", "One client"],
      ["/clients", "Clients"],
    ]) {
      await page.evaluate(() => document.activeElement.blur());
      await goto(page, "/");
      await tabTo(path);
      await Promise.all([page.waitForURL(`**${path}`), page.keyboard.press("Enter")]);
      assert.equal(await page.locator("h1").textContent(), heading);
    }
    await tabTo("pause");
    await page.keyboard.press("Space");
    assert.equal(await page.locator("#live-word").textContent(), "Paused.");
    assert.equal(await page.locator("#pause").textContent(), "Resume");
    await page.keyboard.press("Enter");
    assert.equal(await page.locator("#pause").textContent(), "Pause");

    await tabTo("search");
    await page.keyboard.type("rehearsal-0007");
    await Promise.all([page.waitForURL("**/clients?search=rehearsal-0007*"), page.keyboard.press("Enter")]);
    assert.equal(await page.locator("tbody tr[id^=client]").count(), 1);
    await tabTo("/why?client=" + (await page.locator("tbody tr[id^=client] a").getAttribute("href")).split("=")[1]);
    await Promise.all([page.waitForURL("**/why?client=*"), page.keyboard.press("Enter")]);
    assert.match(await page.locator(".story").textContent(), /REHEARSAL-0007/);

    await goto(page, `/hosts?host=${estate.endpoints[0]}`);
    const open = () => page.locator("details[open]").count();
    const was = await open();
    await page.locator("summary").first().focus();
    await page.keyboard.press("Enter");
    assert.equal(await open(), was - 1);
  }));

test("nothing moves for who wants nothing to move", () =>
  open({ reducedMotion: "reduce" }, async (page) => {
    await goto(page, "/");
    await page.waitForFunction(() => document.getElementById("live").dataset.is === "live");
    assert.equal(await page.evaluate(() => document.getAnimations().length), 0);
  }));

test("everything works without JavaScript", () =>
  open({ javaScriptEnabled: false }, async (page) => {
    for (const path of Object.values(paths())) {
      await goto(page, path);
      assert.equal(await page.locator("button:not(form button)").count(), 0, `${path} has a button that does nothing`);
      const alive = await page.locator("html[data-every]").count(); // the empty form of one client has nothing that could be new
      assert.equal(await page.getByText("Reload to see what is new.").count(), alive, path);
    }
    await goto(page, "/");
    await page.getByRole("link", { name: "Clients", exact: true }).click();
    await page.getByLabel("Search", { exact: true }).fill("rehearsal-0003");
    await page.getByRole("button", { name: "Search" }).click();
    await page.waitForURL("**/clients?search=rehearsal-0003*");
    assert.equal(await page.locator("tbody tr[id^=client]").count(), 1);
    await page.getByRole("link", { name: "REHEARSAL-0003" }).click();
    assert.match(await page.locator(".story").textContent(), /REHEARSAL-0003/);
    await goto(page, `/hosts?host=${estate.endpoints[2]}`);
    await page.locator("summary").first().click();
    assert.equal(await page.locator("details:not([open])").count(), 1);
  }));

test("a refused announcement is shown with where it came from", () =>
  open({}, async (page) => {
    if ((await estate.report()).updates.refused === 0) await estate.announce(); // the server was started again
    await goto(page, "/announcements");
    const row = await page.locator("tbody tr").first().textContent();
    assert.match(row, /refused/);
    assert.match(row, /127\.0\.0\.1/);
    assert.match(row, /desktop-7f3/);
  }));

test("names that machines gave themselves do no harm", async () => {
  const names = await estate.callAsHostile();
  for (const viewport of [desk, phone]) {
    await open({ viewport, acceptDownloads: true }, async (page) => {
      await goto(page, "/clients");
      const shown = await page.locator("tbody tr[id^=client] th bdi").allTextContents();
      for (const plain of names.filter((n) => /^[ -~]+$/.test(n) && !/[",\\]/.test(n))) // those are escaped as in the log
        assert.ok(shown.includes(plain), `${plain} is not among ${shown}`);
      const text = await page.locator("body").textContent();
      assert.doesNotMatch(text, /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/u);
      assert.equal(await page.locator("main script, main img, [onerror]").count(), 0);
      assert.equal(await page.locator("h1").count(), 1);
      await fits(page, "hostile names");
      await judge(page, "hostile names");
      await page.screenshot({ path: join(artifacts, `hostile-${viewport.width}.png`), fullPage: true });

      const links = page.locator("tbody tr[id^=client] th a");
      for (const link of await links.evaluateAll((all) => all.map((a) => a.getAttribute("href")))) {
        await goto(page, link);
        assert.equal(await page.locator("main img, main script").count(), 0);
      }
      await goto(page, `/why?client=${encodeURIComponent(names[0])}`);
      assert.equal(await page.locator("h1").textContent(), names[0]);
      assert.equal(await page.locator("main script").count(), 0);

      await goto(page, "/clients");
      const downloading = page.waitForEvent("download");
      await page.getByRole("link", { name: "All of these as CSV" }).click();
      const download = await downloading;
      const csv = await readFile(await download.path(), "utf8");
      assert.match(csv, /,"?'=HYPERLINK\(/);
      assert.match(csv, /,"?'@SUM\(1\+1\)/);
      assert.doesNotMatch(csv, /[,\n]"?[=+@-]/);
      assert.doesNotMatch(csv, /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u202e]/u);
    });
  }
});

test("the page of another site can neither read nor embed it, and may link to it", async () => {
  const other = createServer((_, reply) => {
    reply.setHeader("Content-Type", "text/html");
    reply.end(`<!doctype html><title>other</title><a href="${estate.url}/hosts">hosts</a><iframe src="${estate.url}/"></iframe>`);
  }).listen(0, "127.0.0.1");
  await once(other, "listening");
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    await page.goto(`http://other.example.net:${other.address().port}/`);
    for (const mode of ["cors", "no-cors"]) {
      const read = page.evaluate(async ([url, mode]) => (await fetch(url, { mode })).text(), [`${estate.url}/v1/status`, mode]);
      await assert.rejects(read, /Failed to fetch/, `a page elsewhere reads it: ${mode}`);
    }
    assert.ok(!(await page.frames()[1].content()).includes("corp.example.org"), "a page elsewhere shows it as a part of itself");
    await page.getByRole("link", { name: "hosts" }).click();
    await page.waitForURL(`${estate.url}/hosts`);
    assert.equal(await page.locator("h1").textContent(), "Hosts");
  } finally {
    await context.close();
    other.close();
  }
});

test("by the name of another site it is not to be had, and by one that the Corefile has it is", async () => {
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    const port = new URL(estate.url).port;
    const foreign = await page.goto(`http://other.example.net:${port}/v1/status`);
    assert.equal(foreign.status(), 421);
    assert.match(await foreign.text(), /not called "other\.example\.net:\d+".*status ADDRESS NAME/);
    assert.equal((await page.goto(`http://kms.corp.example.org:${port}/v1/status`)).status(), 200);
  } finally {
    await context.close();
  }
});
