// A browser without a window, for one person: it keeps cookies, follows redirects, and on each page presses the button that a
// person would: their name where it is asked, and else the first, or the link that is in the place of one.
//
// As a program: USER_NAME=alice node browser.mjs URL. It goes on until a page has no form, as a real one would be left open.
import { pathToFileURL } from "node:url";

const unescape = (text) => text.replaceAll("&#34;", '"').replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&#43;", "+").replaceAll("&amp;", "&");
const attributes = (tag) => Object.fromEntries([...tag.matchAll(/([a-z]+)="([^"]*)"/g)].map((m) => [m[1], unescape(m[2])]));

// browse returns the address to which it is led below stop, without going there.
export async function browse(address, person, stop) {
  const cookies = new Map();
  let request = { url: address, method: "GET" };
  for (let step = 0; step < 40; step++) {
    if (stop && request.url.startsWith(stop)) return request.url;
    const url = new URL(request.url);
    const own = cookies.get(url.origin) ?? cookies.set(url.origin, new Map()).get(url.origin);
    const response = await fetch(url, { method: request.method, body: request.body, redirect: "manual",
      headers: { Cookie: [...own].map(([name, value]) => `${name}=${value}`).join("; ") } });
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      if (/max-age=0|max-age=-/i.test(line)) own.delete(name); else own.set(name, value);
    }
    const location = response.headers.get("Location");
    if (location) {
      request = { url: new URL(location, url).href, method: "GET" };
      continue;
    }
    const page = await response.text();
    const link = /<a class="button first"[^>]*>/.exec(page);
    if (link) {
      request = { url: new URL(attributes(link[0]).href, url).href, method: "GET" };
      continue;
    }
    const form = /<form ([^>]*)>(.*?)<\/form>/s.exec(page);
    if (!form) {
      if (stop || !response.ok) throw new Error(`${url} answers ${response.status}: ${page}`);
      return url.href;
    }
    const fields = new URLSearchParams();
    for (const [tag] of form[2].matchAll(/<input [^>]*>/g)) fields.set(attributes(tag).name, attributes(tag).value);
    const buttons = [...form[2].matchAll(/<button [^>]*>/g)].map(([tag]) => attributes(tag));
    const button = buttons.find((b) => b.value === person) ?? buttons[0];
    fields.set(button.name, button.value);
    request = { url: new URL(attributes(form[1]).action, url).href, method: "POST", body: fields };
  }
  throw new Error("it is led on and on");
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) console.error("browser ended at", await browse(process.argv[2], process.env.USER_NAME));
