// Opens a file in speedscope, as its npm package ships it, in headless Chromium, and prints what a person would see as JSON:
// the title, all texts of the page, what it said on its console, and the names of all profiles in the file. Makes a
// screenshot. Everything is served on 127.0.0.1, and nothing else can be reached.
//
//   node open_in_speedscope.mjs MODULES CHROMIUM INDEX.HTML FILE SCREENSHOT.png

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';

const [modules, chromium, index, file, screenshot] = process.argv.slice(2);
const { default: puppeteer } = await import(
  createRequire(path.join(modules, 'x.js')).resolve('puppeteer-core')
);

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json' };
const server = createServer(async (request, response) => {
  const name = decodeURIComponent(new URL(request.url, 'http://127.0.0.1').pathname);
  const place = name.startsWith('/opened/') ? file : path.join(path.dirname(index), path.normalize(name));
  try {
    const body = await readFile(place);
    response.writeHead(200, { 'content-type': TYPES[path.extname(place)] ?? 'application/octet-stream' });
    response.end(body);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
const origin = `http://127.0.0.1:${server.address().port}`;

const browser = await puppeteer.launch({
  executablePath: chromium,
  // Tests run as root in containers; the page is ours and offline.
  args: ['--no-sandbox', '--disable-dev-shm-usage', '--enable-unsafe-swiftshader', '--window-size=1280,800'],
});
try {
  const page = await browser.newPage();
  await page.setViewport({ width: 1280, height: 800 });
  const said = [];
  page.on('console', (message) => said.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => said.push(`pageerror: ${error.message}`));
  page.on('dialog', (dialog) => {
    said.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  const opened = `${origin}/opened/${path.basename(file)}`;
  await page.goto(`${origin}/index.html#profileURL=${encodeURIComponent(opened)}`);
  // The view of a profile has this button; the page that asks for a file, and the one that could not load it, do not.
  const isOpen = () => document.body.innerText.includes('Time Order') && document.querySelector('canvas') !== null;
  let opens = true;
  await page.waitForFunction(isOpen, { timeout: 60_000 }).catch(() => (opens = false));
  await page.screenshot({ path: screenshot });
  const text = await page.evaluate(() => document.body.innerText);
  let profiles = '';
  if (opens) {
    // The list of profiles opens at a click on the name of the one that is shown, in the middle of the top.
    await page.mouse.click(640, 10);
    await page.waitForFunction(() => document.body.innerText.includes('Total Weight'), { timeout: 20_000 });
    profiles = await page.evaluate(() => document.body.innerText);
    await page.screenshot({ path: screenshot.replace(/\.png$/, '.list.png') });
  }
  console.log(JSON.stringify({ opens, title: await page.title(), text, profiles, said }));
} finally {
  await browser.close();
  server.close();
}
