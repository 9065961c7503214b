import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startTestManager } from '../../manager/testing.ts';
import { contextOf } from '../../test/cli-samples.ts';
import { parseArguments } from './arguments.ts';
import { commands } from './main.ts';

/** In a project's folder, commands that need its name only need none of the file's variables. */

const file = `
name: shop
services:
  web:
    image: "\${IMAGE:?say which image}"
    environment: { TOKEN: "\${TOKEN:?}" }
    deploy: { replicas: "\${REPLICAS:?}" }
`;

test.each(['ps', 'service ls', 'logs', 'exec web true', 'scale web=2', 'down', 'restart web', 'stop web'])(
  '`%s` finds its project without the variables of the file',
  async (words) => {
    await using manager = await startTestManager();
    writeFileSync(join(manager.folder, 'compose.yaml'), file);
    const { context, said: printed } = contextOf(manager.client, manager.folder);
    const asked = words.split(' ');
    const name = [asked.slice(0, 2).join(' '), asked[0]!].find((each) => Object.hasOwn(commands, each))!;
    const { command } = await commands[name]!();
    const rest = asked.slice(name.split(' ').length);
    const said = await command.run(context, parseArguments(command, rest)).then(
      () => printed.join('\n'),
      (error: unknown) => String(error),
    );
    expect(said).not.toMatch(/IMAGE|TOKEN|REPLICAS/);
    expect(said).toMatch(/shop|web/);
  },
);
