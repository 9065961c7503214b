import { commonOptions } from './arguments.ts';
import type { Command, OptionSpec } from './command.ts';

function renderOptions(options: Record<string, OptionSpec>): string {
  const rows = Object.entries(options).map(([name, option]) => {
    const short = option.short ? `-${option.short}, ` : '    ';
    return { left: `  ${short}--${name}${option.value ? ` ${option.value}` : ''}`, help: option.help };
  });
  const width = Math.max(...rows.map((row) => row.left.length));
  return rows.map((row) => `${row.left.padEnd(width)}  ${row.help}`).join('\n');
}

/** `shoal COMMAND --help` */
export function renderCommandHelp(command: Command): string {
  const usage = [`shoal ${command.name}`, '[OPTIONS]', command.positionals].filter(Boolean).join(' ');
  return [
    `Usage: ${usage}`,
    '',
    command.summary,
    '',
    'Options:',
    renderOptions({ ...command.options, ...commonOptions }),
    '',
    'Examples:',
    ...command.examples.map((example) => `  ${example}`),
  ].join('\n');
}

/** `shoal --help` */
export function renderHelp(commands: Command[]): string {
  const all = [
    { name: 'daemon', summary: 'Run Shoal on this host (see `shoal daemon --help`)' },
    ...commands,
  ];
  const width = Math.max(...all.map((command) => command.name.length));
  return [
    'Usage: shoal COMMAND [OPTIONS] [ARGUMENTS]',
    '',
    'Runs Compose applications on a fleet of Linux hosts.',
    '',
    'Commands:',
    ...all.map((command) => `  ${command.name.padEnd(width)}  ${command.summary}`),
    '',
    'Every command has --help with examples. SHOAL_HOST or --host says where the API is:',
    '  unix:///run/shoal/shoal.sock   the daemon on this host (default)',
    '  tcp://MANAGER:2377             a manager elsewhere, as the administrator of the file in SHOAL_CONTEXT or --context',
    '',
    "Exit codes: 0 done, 1 could not be done, 2 wrong use, 3 cannot reach the daemon,\n4 overtaken by somebody else's change, 130 interrupted.",
  ].join('\n');
}
