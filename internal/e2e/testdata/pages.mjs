// Chromium, without a window, for pages that people see: node pages.mjs JOB, a JSON object. What it saw is printed as JSON.
//
// JOB.pages are walks that begin each in a browser of its own: {name, start, stop, press: [text, ...], keyboard, script,
// width, scheme, rules}. On each page the button, or the link that looks like one, is pressed whose text begins with the next of press, after the box was
// ticked whose label holds what stands there before " > ". A walk ends where the browser is led below stop, or when nothing
// is left to press.
// JOB.visits are addresses that are asked with a method, headers and a body that a page could not choose: {name, url, method,
// headers, body, wait}. They go on in the browser of the last walk.
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import puppeteer from "puppeteer-core";

const job = JSON.parse(process.argv[2]);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
mkdirSync(job.shots, { recursive: true });

// Root has no sandbox of the system's to put a browser into.
const args = ["--disable-gpu", "--disable-dev-shm-usage", ...(process.getuid() === 0 ? ["--no-sandbox"] : [])];
const browser = await puppeteer.launch({ executablePath: job.chromium, args });

// seen is what a person, or a program that reads to one, has in front of them.
const seen = () => {
  const size = (e) => { const r = e.getBoundingClientRect(); return Math.min(r.width, r.height); };
  const buttons = [...document.querySelectorAll("button, a[href], input:not([type=hidden])")];
  return { title: document.title, text: document.body.innerText, lang: document.documentElement.lang, overflow: document.documentElement.scrollWidth - innerWidth,
    buttons: buttons.map((b) => b.innerText), smallest: Math.min(...buttons.map(size)), scripted: document.documentElement.dataset.scripted ?? "" };
};

// focused is the button that has the focus, and how that is seen.
const focused = () => {
  const e = document.activeElement, style = getComputedStyle(e);
  return { text: e === document.body ? "" : e.innerText, outline: `${style.outlineStyle} ${style.outlineWidth}` };
};

async function press(page, what, walk, found) {
  const [tick, text] = what.includes(" > ") ? what.split(" > ") : ["", what];
  for (const label of tick ? await page.$$("label") : []) {
    if ((await label.evaluate((l) => l.innerText)).includes(tick)) await label.click();
  }
  if (!walk.keyboard) {
    for (const button of await page.$$("button, a.button")) {
      if ((await button.evaluate((b) => b.innerText)).startsWith(text)) return button.click();
    }
    throw new Error(`no button begins with ${text}`);
  }
  for (let tab = 1; tab <= 20; tab++) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(focused);
    if (!at.text.startsWith(text)) continue;
    Object.assign(found, { tabs: tab, outline: at.outline });
    return page.keyboard.press("Enter");
  }
  throw new Error(`the focus never comes to ${text}`);
}

async function check(page, rules) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate((rules) => axe.run(document, { runOnly: rules, resultTypes: ["violations"] }), rules);
  return violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.html).join(" ")}`);
}

async function go(walk, page) {
  await page.setViewport({ width: walk.width ?? 360, height: 740, deviceScaleFactor: 2, isMobile: true, hasTouch: true });
  await page.setJavaScriptEnabled(walk.script ?? false);
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: walk.scheme ?? "light" }]);
  const pages = [], asked = [];
  page.on("request", (request) => asked.push(request.url()));
  const response = await page.goto(walk.start);
  for (const text of [...(walk.press ?? []), null]) {
    if (walk.stop && page.url().startsWith(walk.stop)) break;
    const found = { url: page.url(), ...(await page.evaluate(seen)) };
    pages.push(found);
    if (walk.rules) found.violations = await check(page, walk.rules);
    await page.screenshot({ path: `${job.shots}/${walk.name.replace(/[^a-z0-9]+/g, "-")}-${pages.length}.png`, fullPage: true });
    if (text === null) break;
    const led = page.waitForNavigation({ timeout: 15000 }).then(() => "", (error) => String(error));
    await press(page, text, walk, found);
    found.stuck = await led;
  }
  return { status: response.status(), ended: page.url(), pages, asked };
}

// visit has the browser show what an address answers to a request that no page could make.
async function visit(page, v) {
  const dialogs = [], requests = [];
  page.on("dialog", (dialog) => { dialogs.push(dialog.message()); dialog.dismiss(); });
  page.on("request", (request) => {
    requests.push(request.url());
    if (request.url() !== v.url || !v.method) return request.continue();
    request.continue({ method: v.method, headers: { ...request.headers(), ...v.headers }, postData: v.body });
  });
  await page.setRequestInterception(true);
  const before = await page.cookies(v.url);
  const response = await page.goto(v.url).catch((error) => ({ status: () => 0, headers: () => ({}), text: async () => String(error) }));
  await new Promise((resolve) => setTimeout(resolve, v.wait ?? 300));
  const here = await page.evaluate(() => {
    let stored = "";
    try { localStorage.setItem("x", "x"); stored = "yes"; } catch { /* the page has no storage */ }
    return { origin: self.origin, stored, scripted: document.documentElement.dataset?.scripted ?? "", shown: document.documentElement.outerHTML };
  }).catch((error) => ({ origin: "none", shown: String(error) }));
  const names = (cookies) => cookies.map((c) => `${c.name}=${c.value}`).sort().join("; ");
  return { name: v.name, status: response.status(), type: response.headers()["content-type"] ?? "", body: await response.text().catch(() => ""), ended: page.url(), dialogs, requests,
    frames: page.frames().map((f) => f.url()), cookies: [names(before), names(await page.cookies(v.url))], ...here };
}

try {
  const walks = [];
  let context;
  for (const walk of job.pages) {
    if (context) await context.close();
    context = await browser.createBrowserContext();
    walks.push(await go(walk, await context.newPage()));
  }
  const visits = [];
  for (const v of job.visits ?? []) {
    const page = await context.newPage();
    visits.push(await visit(page, v));
    await page.close();
  }
  console.log(JSON.stringify({ version: await browser.version(), walks, visits }));
} finally {
  await browser.close();
}
