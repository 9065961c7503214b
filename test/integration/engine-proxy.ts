import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Blobs larger than this are layers. */
const largeBytes = 1_000_000;

/** A registry's bad days: stands before a real one and does what is asked. */
export interface RegistryProxy {
  name: string;
  /** `METHOD PATH[ RANGE]` of every request that came. */
  requests: string[];
  /** Answers with large blobs still to be cut off after half of their bytes. */
  cuts: number;
  /** Answers still to be 503. */
  faults: number;
  /** Answers with this status to everything. */
  refuse?: number;
  /** Wants this token, which its token server gives to everybody. */
  token?: string;
  /** Sends blobs by a redirect to another port. */
  redirect: boolean;
  /** Changes one byte of every blob. */
  corrupt: boolean;
  close(): Promise<void>;
}

/** Starts a proxy on 127.0.0.1 in front of `registry` (`ADDRESS:PORT`). */
export async function startRegistryProxy(registry: string): Promise<RegistryProxy> {
  const server = createServer((incoming, response) => answer(incoming, response));
  const elsewhere = createServer((incoming, response) => forward(incoming, response));
  const [name, other] = [await listen(server), await listen(elsewhere)];
  const proxy: RegistryProxy = {
    name,
    requests: [],
    cuts: 0,
    faults: 0,
    redirect: false,
    corrupt: false,
    close: async () => {
      for (const each of [server, elsewhere]) {
        each.closeAllConnections();
        await new Promise((resolve) => each.close(resolve));
      }
    },
  };
  const answer = (incoming: IncomingMessage, response: ServerResponse) => {
    const { method, url = '', headers } = incoming;
    proxy.requests.push([method, url, headers.range].filter((part) => part !== undefined).join(' '));
    if (url.startsWith('/token?'))
      return response.end(JSON.stringify({ token: proxy.token, expires_in: 300 }));
    if (proxy.refuse !== undefined) return response.writeHead(proxy.refuse).end();
    if (proxy.faults > 0) {
      proxy.faults--;
      return response.writeHead(503).end();
    }
    if (proxy.token !== undefined && headers.authorization !== `Bearer ${proxy.token}`) {
      const challenge = `Bearer realm="http://${name}/token",service="registry",scope="repository:x:pull"`;
      return response.writeHead(401, { 'www-authenticate': challenge }).end();
    }
    if (proxy.redirect && url.includes('/blobs/')) {
      return response.writeHead(307, { location: `http://${other}${url}` }).end();
    }
    return forward(incoming, response);
  };
  const forward = (incoming: IncomingMessage, response: ServerResponse) => {
    if (incoming.socket.localPort === Number(other.split(':')[1]) && incoming.headers.authorization) {
      return response.writeHead(400).end('credentials went to a stranger');
    }
    const { host: _, authorization: __, ...headers } = incoming.headers;
    const upstream = request(`http://${registry}${incoming.url}`, { headers }, (found) => {
      const isBlob = incoming.url!.includes('/blobs/');
      const cut = isBlob && proxy.cuts > 0 && Number(found.headers['content-length']) > largeBytes;
      if (cut) proxy.cuts--;
      response.writeHead(found.statusCode!, found.headers);
      void pass(found, response, { cut, corrupt: isBlob && proxy.corrupt });
    });
    upstream.on('error', () => response.destroy());
    return upstream.end();
  };
  return proxy;
}

async function pass(
  found: IncomingMessage,
  response: ServerResponse,
  { cut, corrupt }: { cut: boolean; corrupt: boolean },
): Promise<void> {
  const bytes = Buffer.concat(await Array.fromAsync(found as AsyncIterable<Buffer>));
  if (corrupt) bytes.writeUInt8(bytes.readUInt8(0) ^ 1, 0);
  if (!cut) return void response.end(bytes);
  response.write(bytes.subarray(0, bytes.length / 2), () => response.destroy());
}

async function listen(server: ReturnType<typeof createServer>): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}
