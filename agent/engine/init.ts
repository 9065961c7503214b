import { open } from 'node:fs/promises';
import { ShoalError } from '../../src/util/errors.ts';
import { missing } from './image-root.ts';

/** Where distributions keep the small init programs that can be lent to a container. */
const places = [
  '/usr/libexec/docker/docker-init',
  '/usr/bin/docker-init',
  '/usr/local/bin/docker-init',
  '/usr/bin/tini-static',
  '/sbin/tini-static',
  '/usr/libexec/podman/catatonit',
  '/usr/bin/catatonit',
  '/sbin/tini',
  '/usr/bin/tini',
  '/usr/bin/dumb-init',
];

/** Where the container sees it, as with Docker. */
export const initTarget = '/sbin/docker-init';

/** An ELF header and the program headers that follow it are in the first page. */
const headerBytes = 4096;
const interpreterType = 3;

/**
 * Path of an init program of this host that runs in every container, which only a statically linked one does. Throws
 * `failed_precondition` when there is none.
 */
export async function findInit(candidates: readonly string[] = places): Promise<string> {
  for (const path of candidates) {
    const header = await readHeader(path);
    if (header && isStaticElf(header)) return path;
  }
  throw new ShoalError(
    'failed_precondition',
    'Cannot give the container an init process: this host has none',
    {
      next: 'Install one on the hosts (on Debian: apt-get install tini), or leave out init.',
    },
  );
}

async function readHeader(path: string): Promise<Buffer | undefined> {
  const file = await open(path).catch(missing);
  if (!file) return undefined;
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(headerBytes), 0, headerBytes, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** Whether this is a 64-bit little-endian program that needs no interpreter (elf(5)). */
export function isStaticElf(header: Buffer): boolean {
  if (header.length < 64 || header.readUInt32BE(0) !== 0x7f454c46) return false;
  const [bits64, littleEndian] = [header[4] === 2, header[5] === 1];
  if (!bits64 || !littleEndian) return false;
  const [start, size, count] = [
    Number(header.readBigUInt64LE(32)),
    header.readUInt16LE(54),
    header.readUInt16LE(56),
  ];
  if (start + size * count > header.length) return false;
  for (let index = 0; index < count; index++) {
    if (header.readUInt32LE(start + index * size) === interpreterType) return false;
  }
  return true;
}
