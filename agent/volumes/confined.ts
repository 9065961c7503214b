/**
 * A program that works on a volume by paths, where the volume is all there is: what was made by containers or by another host may
 * hold a link to anywhere, and a path through it must lead nowhere else. In mounts of its own the program sees its own kind under
 * a new root, read-only, and the volume at `/volume`. `chroot` keeps no program in that wants out; it keeps paths in.
 */
const enter = `
set -e
umask 022
cd "$1"; shift
mount -t tmpfs -o mode=755 none /run
mkdir /run/volume
mount --no-canonicalize --bind . /run/volume
for name in bin sbin lib lib32 lib64 libx32 usr; do
  if [ -L "/$name" ]; then cp -P "/$name" "/run/$name"
  elif [ -d "/$name" ]; then
    mkdir "/run/$name"
    mount --rbind "/$name" "/run/$name"
    mount -o remount,bind,ro "/run/$name"
  fi
done
exec chroot /run "$@"
`;

/** Only root can make mounts; whoever else runs this can do no harm outside of what is theirs. */
const isRoot = process.getuid?.() === 0;

/** The command line of a program that sees the folder, at the path that is given to `args`, and nothing else of this host. */
export function confinedTo(
  folder: string,
  program: string,
  args: (path: string) => string[],
): [file: string, argv: string[]] {
  if (!isRoot) return [program, args(folder)];
  const shell = ['sh', '-c', enter, 'sh', folder, program, ...args('/volume')];
  return ['unshare', ['--mount', '--propagation', 'private', '--', ...shell]];
}
