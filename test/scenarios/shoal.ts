import { ServerResponse, IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import type { ApiContext } from '../../manager/api/context.ts';
import { allRoutes } from '../../manager/api/routes.ts';
import { findRoute, type Call } from '../../manager/api/router.ts';
import { parseArguments } from '../../src/cli/arguments.ts';
import { commands } from '../../src/cli/main.ts';
import { messageOf } from '../../src/util/errors.ts';
import { silentLogger } from '../../src/util/log.ts';
import { apiPrefix } from '../../src/wire/api.ts';
import type { Client, Method } from '../../src/wire/client.ts';
import { contextOf } from '../cli-samples.ts';
import type { World } from '../simulation/world.ts';

/** A command that only looks, as a person types it; gives what it prints, against the routes of the API and the world's view. */
export async function shoal(world: World, words: string[]): Promise<string[]> {
  const name = [words.slice(0, 2).join(' '), words[0] ?? ''].find((each) => Object.hasOwn(commands, each));
  if (name === undefined) throw new Error(`no such command: ${words.join(' ')}`);
  const { command } = await commands[name]!();
  const { context, said } = contextOf(clientOf(world), '/');
  try {
    const rest = words.slice(name.split(' ').length);
    const code = await command.run(context, parseArguments(command, rest));
    if (code !== 0) said.push(`exit code ${code}`);
  } catch (error) {
    said.push(`refused: ${messageOf(error)}`);
  }
  return said.flatMap((text) => text.split('\n')).map((text) => text.trimEnd());
}

function clientOf(world: World): Client {
  const { database, steady: clock, random } = world;
  // What only looks needs no more of a manager.
  const context = { database, clock, random, log: silentLogger } as unknown as ApiContext;
  const routes = allRoutes({ ...context, leader: () => undefined, addresses: () => [] });
  const request = async (method: Method, path: string): Promise<unknown> => {
    const { pathname, searchParams: query } = new URL(`${apiPrefix}${path}`, 'http://manager');
    const { route, parameters } = findRoute(routes, method, pathname);
    const call: Partial<Call> = {
      query,
      parameters,
      objects: [],
      identity: { kind: 'local' },
      response: new ServerResponse(new IncomingMessage(new Socket())),
    };
    // As it would come over the wire.
    const answer = JSON.stringify(await route.handle(call as Call));
    return answer === undefined ? undefined : (JSON.parse(answer) as unknown);
  };
  return { request, host: 'manager', warning: undefined, close: () => undefined } as unknown as Client;
}
