/** Where the parts are put together: the daemon runs on every host, everything else is the command line. */
const [command, ...rest] = process.argv.slice(2);

if (command === 'daemon') {
  const { daemon } = await import('../agent/daemon.ts');
  process.exitCode = await daemon(rest);
} else {
  const { main } = await import('./cli/main.ts');
  process.exitCode = await main(process.argv.slice(2));
}
