/** A package registry on loopback with one package in it, so that a test installs it by its name. */

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';

/**
 * @param {{file: string, manifest: {name: string, version: string}}} packed
 * @returns {Promise<{base: string, close: () => void}>}
 */
export async function serveRegistry({ file, manifest: { name, version } }) {
  const tarball = await readFile(file);
  const integrity = `sha512-${createHash('sha512').update(tarball).digest('base64')}`;
  const server = createServer((request, response) => {
    if (request.url === '/tarball.tgz') return response.end(tarball);
    if (decodeURIComponent(request.url) !== `/${name}`) return response.writeHead(404).end('{}');
    const dist = { tarball: `${base}/tarball.tgz`, integrity };
    const versions = { [version]: { name, version, peerDependencies: { react: '>=18 <20' }, dist } };
    response.setHeader('content-type', 'application/json');
    return response.end(JSON.stringify({ name, 'dist-tags': { latest: version }, versions }));
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const base = `http://127.0.0.1:${server.address().port}`;
  return { base, close: () => server.close() };
}
