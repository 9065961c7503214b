import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { digestOf } from './content.ts';
import { resolveDigests } from './digests.ts';
import { parseLogins, type Logins } from './logins.ts';

const manifest = Buffer.from('{"schemaVersion":2}');
const digest = digestOf(manifest);
const basic = (login: string) => `Basic ${Buffer.from(login).toString('base64')}`;

/** A registry that wants what `challenge` says and answers each tag with the same manifest. */
let answer: (request: IncomingMessage, response: ServerResponse) => unknown;
let requests: string[];
let name: string;
let close: () => void;

beforeEach(async () => {
  requests = [];
  const server = createServer((request, response) => {
    requests.push(`${request.url} ${request.headers.authorization ?? 'nobody'}`);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  name = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  close = () => {
    server.closeAllConnections();
    server.close();
  };
});

afterEach(() => close());

function give(response: ServerResponse): unknown {
  return response.writeHead(200, { 'content-type': 'x' }).end(manifest);
}

function resolve(images: string[], logins: Logins = new Map(), signal = new AbortController().signal) {
  return resolveDigests(images, { logins, signal });
}

describe('resolveDigests()', () => {
  test('asks once for an image that is named twice, and not at all for one with a digest', async () => {
    answer = (_, response) => give(response);
    const fixed = `redis:8@sha256:${'a'.repeat(64)}`;
    const resolved = await resolve([`${name}/a:1`, `${name}/a:1`, `${name}/b`, fixed]);
    expect(Object.fromEntries(resolved)).toEqual({
      [`${name}/a:1`]: `${name}/a:1@${digest}`,
      [`${name}/b`]: `${name}/b:latest@${digest}`,
      [fixed]: `docker.io/library/redis@sha256:${'a'.repeat(64)}`,
    });
    expect(requests.toSorted()).toEqual(['/v2/a/manifests/1 nobody', '/v2/b/manifests/latest nobody']);
  });

  test('never asks more than four registries at a time', async () => {
    let running = 0;
    let most = 0;
    answer = (_, response) => {
      running += 1;
      most = Math.max(most, running);
      setImmediate(() => {
        running -= 1;
        give(response);
      });
    };
    await resolve(Array.from({ length: 20 }, (_, index) => `${name}/a:${index}`));
    expect(most).toBeLessThanOrEqual(4);
    expect(requests).toHaveLength(20);
  });

  test('gives the login to a registry that wants it, and only then', async () => {
    answer = (request, response) =>
      request.headers.authorization === basic('me:secret')
        ? give(response)
        : response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
    const logins = parseLogins({ auths: { [name]: { username: 'me', password: 'secret' } } });
    expect((await resolve([`${name}/a:1`], logins)).size).toBe(1);
    expect(requests).toEqual(['/v2/a/manifests/1 nobody', `/v2/a/manifests/1 ${basic('me:secret')}`]);
    await expect(resolve([`${name}/a:1`])).rejects.toMatchObject({ code: 'image_not_found' });
  });

  test('gives the login to the token server that the registry names, and the registry the token', async () => {
    answer = (request, response) => {
      if (request.url!.startsWith('/token')) return response.end('{"token":"t"}');
      if (request.headers.authorization === 'Bearer t') return give(response);
      const challenge = `Bearer realm="http://${name}/token",service="s"`;
      return response.writeHead(401, { 'www-authenticate': challenge }).end();
    };
    const logins = parseLogins({ auths: { [name]: { auth: Buffer.from('me:a:b').toString('base64') } } });
    expect((await resolve([`${name}/a:1`], logins)).get(`${name}/a:1`)).toContain(digest);
    expect(requests[1]).toBe(`/token?service=s&scope=repository%3Aa%3Apull ${basic('me:a:b')}`);
    expect(requests[2]).toBe('/v2/a/manifests/1 Bearer t');
  });

  test('tries again when the registry is at fault, and gives up for good when it has no such tag', async () => {
    answer = (_, response) => (requests.length === 1 ? response.writeHead(503).end() : give(response));
    expect((await resolve([`${name}/a:1`])).size).toBe(1);
    answer = (_, response) => response.writeHead(404).end();
    await expect(resolve([`${name}/none:1`])).rejects.toMatchObject({
      code: 'image_not_found',
      message: `Cannot resolve the digest of ${name}/none:1: the registry does not have it`,
    });
    expect(requests).toHaveLength(3);
  });

  test('stops at once when the command is interrupted', async () => {
    const controller = new AbortController();
    answer = () => controller.abort(new Error('interrupted')); // and never answers
    await expect(resolve([`${name}/a:1`], new Map(), controller.signal)).rejects.toThrow('interrupted');
  });
});

test('logins are read as docker writes them, and what has another shape is passed over', () => {
  const auth = Buffer.from('me:secret').toString('base64');
  const logins = parseLogins({
    auths: {
      'https://index.docker.io/v1/': { auth },
      'ghcr.io': { auth },
      'kept.by.a.helper': {},
      'no.password': { auth: Buffer.from('me').toString('base64') },
      odd: 5,
    },
    credsStore: 'desktop',
  });
  expect([...logins.keys()]).toEqual(['docker.io', 'ghcr.io']);
  expect(logins.get('ghcr.io')).toEqual({ user: 'me', password: 'secret' });
  for (const odd of [null, 5, [], { auths: null }]) expect(parseLogins(odd).size).toBe(0);
});
