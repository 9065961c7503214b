import { createServer, type ServerResponse } from 'node:http';
import { connect } from 'node:net';

/** A page to vote on, or one that shows the result, as PAGE says. Votes are counters in Redis. */

const choices = (process.env['CHOICES'] ?? 'cats,dogs').split(',');

/** Sends one command and gives the raw reply (Redis protocol, RESP 2). */
function ask(...words: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(6379, 'votes');
    const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
    socket.once('data', (reply) => {
      socket.destroy();
      resolve(reply.toString());
    });
    socket.once('error', reject);
    socket.setTimeout(2000, () => socket.destroy(new Error('the votes do not answer')));
    socket.write(`*${words.length}\r\n${parts.join('')}`);
  });
}

async function countOf(choice: string): Promise<number> {
  return Number(/\d+/u.exec((await ask('INCRBY', `vote:${choice}`, '0')).slice(1))?.[0] ?? 0);
}

async function answer(method: string, path: string, response: ServerResponse): Promise<void> {
  const choice = path.slice(1);
  if (process.env['PAGE'] === 'result') {
    const counts = await Promise.all(choices.map(async (one) => `${one}: ${await countOf(one)}`));
    response.end(`${counts.join('\n')}\n`);
  } else if (method === 'POST' && choices.includes(choice)) {
    await ask('INCR', `vote:${choice}`);
    response.end(`You voted for ${choice}.\n`);
  } else response.end(`Vote with: curl -X POST …/${choices.join(' or …/')}\n`);
}

const server = createServer((request, response) => {
  answer(request.method ?? 'GET', request.url ?? '/', response).catch((error: unknown) => {
    response.writeHead(503).end(`${String(error)}\n`);
  });
});
server.listen(8080);
process.on('SIGTERM', () => server.close());
