import { version } from '../../spec/version.ts';
import { exitCodes, type Command } from '../command.ts';

export const command: Command = {
  name: 'version',
  summary: 'Print the version of this command.',
  options: { json: { help: 'Print JSON' } },
  examples: ['shoal version', 'shoal version --json'],
  run(context, parsed) {
    const info = { version, node: process.versions.node };
    context.output.print(
      parsed.flag('json') ? JSON.stringify(info, null, 2) : `shoal ${version} (Node ${info.node})`,
    );
    return Promise.resolve(exitCodes.done);
  },
};
