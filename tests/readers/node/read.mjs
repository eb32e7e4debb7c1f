// node read.mjs "LIBRARY FORMAT" LEVEL TARGET...: prints one line of JSON per image: {shape, pixels: base64}.
// The viewers' loaders accept only URLs, so a local server provides the files.
import http from "node:http";
import fs from "node:fs";
import path from "node:path";

const [task, level, ...targets] = process.argv.slice(2);
console.log = (...words) => console.error(...words); // libraries log to the console; stdout is for the result

function show(shape, planes) {
  const bytes = Buffer.concat(planes.map((p) => Buffer.from(p.buffer, p.byteOffset, p.byteLength)));
  process.stdout.write(JSON.stringify({ shape, pixels: bytes.toString("base64") }) + "\n");
}

const server = http.createServer((request, response) => {
  const file = path.join("/", decodeURIComponent(new URL(request.url, "http://x").pathname));
  let stat;
  try {
    stat = fs.statSync(file);
  } catch {
    stat = undefined;
  }
  if (!stat?.isFile()) return response.writeHead(404).end();
  const range = /bytes=(\d*)-(\d*)/.exec(request.headers.range ?? "");
  let start = 0;
  let end = stat.size - 1;
  if (range?.[1]) [start, end] = [Number(range[1]), range[2] ? Math.min(Number(range[2]), end) : end];
  else if (range?.[2]) start = Math.max(0, stat.size - Number(range[2]));
  const head = { "Content-Length": end - start + 1, "Accept-Ranges": "bytes" };
  if (range) head["Content-Range"] = `bytes ${start}-${end}/${stat.size}`;
  response.writeHead(range ? 206 : 200, head);
  if (request.method === "HEAD" || end < start) return response.end();
  fs.createReadStream(file, { start, end }).pipe(response);
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const web = (file) => `http://127.0.0.1:${server.address().port}${encodeURI(file)}`;

// viv's loaders: every plane through getRaster
async function rasters(source) {
  const { labels, shape } = source;
  const outer = labels.slice(0, -2);
  const planes = [];
  const sizes = shape.slice(0, outer.length);
  for (let n = 0; n < sizes.reduce((a, b) => a * b, 1); n++) {
    let rest = n;
    const selection = {};
    for (let i = outer.length - 1; i >= 0; i--) {
      selection[outer[i]] = rest % sizes[i];
      rest = Math.floor(rest / sizes[i]);
    }
    planes.push((await source.getRaster({ selection })).data);
  }
  // the table compares in the order t, c, z: transpose other orders
  const wanted = ["t", "c", "z"].filter((name) => outer.includes(name));
  const extent = (name) => sizes[outer.indexOf(name)];
  const ordered = [];
  const visit = (at, left) => {
    if (!left.length) {
      const n = outer.reduce((sum, name, i) => sum * sizes[i] + at[name], 0);
      return ordered.push(planes[n]);
    }
    for (let i = 0; i < extent(left[0]); i++) visit({ ...at, [left[0]]: i }, left.slice(1));
  };
  visit({}, wanted);
  show([...wanted.map(extent), ...shape.slice(-2)], ordered);
}

const tasks = {
  async "zarrita zarr"() {
    const zarr = await import("zarrita");
    for (const target of targets) {
      const group = await zarr.open(new zarr.FetchStore(web(target)), { kind: "group" });
      const array = await zarr.open(group.resolve(level), { kind: "array" });
      const { data, shape } = await zarr.get(array);
      show(shape, [data]);
    }
  },
  async "ome-zarr.js zarr"() {
    const omezarr = await import("ome-zarr.js");
    for (const target of targets) {
      // its array belongs to its own copy of zarrita: read its chunks, which are planes here
      const { arr } = await omezarr.getMultiscaleWithArray(web(target), Number(level));
      const places = arr.shape.map((size, axis) => Math.ceil(size / arr.chunks[axis]));
      if (arr.chunks.some((size, axis) => size !== (axis < arr.shape.length - 2 ? 1 : arr.shape[axis])))
        throw Error(`expected chunks of one plane, found ${arr.chunks}`);
      const planes = [];
      const visit = async (at) => {
        if (at.length === places.length) return planes.push((await arr.getChunk(at)).data);
        for (let i = 0; i < places[at.length]; i++) await visit([...at, i]);
      };
      await visit([]);
      show(arr.shape, planes);
    }
  },
  async "viv zarr"() {
    const { loadOmeZarr } = await import("@vivjs/loaders");
    for (const target of targets) {
      const { data } = await loadOmeZarr(web(target), { type: "multiscales" });
      await rasters(data[level]);
    }
  },
  async "viv tiff"() {
    const { DOMParser } = await import("@xmldom/xmldom"); // browsers have one built in
    globalThis.DOMParser = DOMParser;
    const { loadOmeTiff } = await import("@vivjs/loaders");
    for (const image of await loadOmeTiff(web(targets[0]), { images: "all" })) await rasters(image.data[level]);
  },
  async "geotiff.js tiff"() {
    const { fromUrl } = await import("geotiff");
    for (const target of targets) {
      const tiff = await fromUrl(web(target));
      const count = await tiff.getImageCount();
      const planes = [];
      let shape;
      for (let n = 0; n < count; n++) {
        const image = await tiff.getImage(n);
        shape = [image.getHeight(), image.getWidth()];
        planes.push((await image.readRasters())[0]);
      }
      show([count, ...shape], planes);
    }
  },
};
try {
  await tasks[task]();
} catch (error) {
  console.error(String(error?.stack ?? error).slice(0, 600));
  process.exitCode = 1;
}
server.close();
server.closeAllConnections();
