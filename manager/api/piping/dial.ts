import { connect, type TLSSocket } from 'node:tls';
import type { Clock } from '../../../src/util/clock.ts';
import { managerServerName } from '../../../src/wire/certificates.ts';
import type { OtherSeat } from '../site.ts';

/** A connection to another manager stands within this long, or not for this attempt. */
const connectMsMax = 1_000;
/** The kernel looks whether the other host is still there. */
const keepAliveMs = 5_000;

export interface Credentials {
  ca: string;
  cert: string;
  key: string;
}

/** A connection to the manager that leads, which ends when another one does; undefined when it does not come about. */
export function dial(
  seat: OtherSeat,
  credentials: Credentials,
  clock: Clock,
): Promise<TLSSocket | undefined> {
  const { hostname, port } = new URL(`https://${seat.address}`);
  const { over } = seat;
  return new Promise((resolve) => {
    if (over.aborted) return resolve(undefined);
    const socket = connect({
      ...credentials,
      servername: managerServerName,
      host: hostname.replace(/^\[(.*)\]$/, '$1'),
      port: Number(port),
    });
    const end = () => void socket.destroy();
    over.addEventListener('abort', end, { once: true });
    const cancel = clock.after(connectMsMax, end);
    socket.on('error', end); // which the close follows
    socket.once('close', () => {
      cancel();
      over.removeEventListener('abort', end);
      resolve(undefined);
    });
    socket.once('secureConnect', () => {
      cancel();
      socket.setNoDelay(true);
      socket.setKeepAlive(true, keepAliveMs);
      resolve(socket);
    });
  });
}
