/**
 * What Linux takes when a program is started (execve(2), `MAX_ARG_STRLEN` in the kernel's binfmts.h): one argument or one
 * `NAME=value` of the environment has at most 32 pages with the zero byte that ends it, on every kernel that Shoal runs on.
 */
export const execStringBytesMax = 128 * 1024 - 1;

/**
 * All arguments and the environment together: a quarter of the stack's usual limit of 8 MiB, of which 64 KiB are left to
 * what the image itself has, and the kernel.
 */
export const execBytesMax = 2 * 1024 * 1024 - 64 * 1024;

/** Each string has a pointer beside it, and a zero byte at its end. */
const overheadBytes = 9;

/** How many bytes of `execBytesMax` the strings take. */
export function execBytes(strings: Iterable<string>): number {
  let bytes = 0;
  for (const text of strings) bytes += Buffer.byteLength(text) + overheadBytes;
  return bytes;
}
