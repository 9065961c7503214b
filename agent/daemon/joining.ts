import { X509Certificate } from 'node:crypto';
import https from 'node:https';
import { managerPort } from '../../src/spec/defaults.ts';
import { codeOf, errorCodes, messageOf, ShoalError, type ErrorCode } from '../../src/util/errors.ts';
import type { Random } from '../../src/util/random.ts';
import { retry } from '../../src/util/retry.ts';
import type { ApiError, JoinAnswer, JoinBody, LeaveAnswer } from '../../src/wire/api.ts';
import { checkOpen, wordsOf } from '../../src/wire/check.ts';
import { parseUntrusted } from '../../src/wire/json.ts';
import { joinAnswer } from '../../src/wire/join-schema.ts';
import {
  caDigest,
  certificateLifeMs,
  createKeyAndRequest,
  managerServerName,
  parseJoinToken,
} from '../../src/wire/certificates.ts';
import type { Credentials } from '../session/session.ts';

/** A manager that takes longer than this to answer is not there. */
const requestTimeoutMs = 10_000;
/** With their pauses some 5 to 10 s. */
const joinAttempts = 8;
/** Certificates are small; an answer larger than this is not from a manager. */
const answerBytesMax = 256 * 1024;

export interface Joined {
  answer: JoinAnswer;
  credentials: Credentials;
}

/** `HOST[:PORT]` with its port; throws `invalid_argument`. */
export function managerAddress(text: string): string {
  const match = /^([a-zA-Z0-9.-]+)(?::(\d{1,5}))?$/.exec(text.trim());
  if (!match) {
    throw new ShoalError('invalid_argument', `Cannot use ${JSON.stringify(text)} as a manager's address`, {
      next: 'Write HOST or HOST:PORT.',
    });
  }
  return `${match[1]}:${match[2] ?? managerPort}`;
}

/**
 * Joins the cluster of the manager at `address`: takes its CA without trusting it, compares it with the digest in the token,
 * and only then shows the token, over TLS that this CA vouches for. Throws `unauthenticated` when the digest differs.
 */
export async function joinCluster(
  address: string,
  token: string,
  self: Pick<JoinBody, 'hostname' | 'address'>,
): Promise<Joined> {
  const { caDigest: expected } = parseJoinToken(token);
  const told = await request(address, 'GET', '/ca', undefined, { rejectUnauthorized: false });
  const ca = certificateIn(told);
  if (ca === undefined || caDigest(ca) !== expected) {
    throw new ShoalError(
      'unauthenticated',
      `Cannot join: ${address} is not a manager of the token's cluster`,
      {
        next: 'Check the address, and take a fresh token with `shoal token` on a manager.',
      },
    );
  }
  const { privateKeyPem, certificateRequestPem } = await createKeyAndRequest();
  const body: JoinBody = { token: token.trim(), certificateRequestPem, ...self };
  // Whoever has answered is there: its store may just be moving to etcd, or another manager begins to lead. A join whose answer
  // was lost is replaced by the next one.
  const text = await retry(
    () => request(address, 'POST', '/join', body, { ca, servername: managerServerName }),
    { attempts: joinAttempts, retryable: (error) => ['conflict', 'unavailable'].includes(codeOf(error)) },
  );
  const answer = answerOf(address, text);
  return {
    answer,
    credentials: { key: privateKeyPem, cert: answer.certificatePem, ca: answer.certificateAuthorityPem },
  };
}

/** A new certificate for the same node, by the one it has. */
export async function renewCertificate(
  address: string,
  credentials: Credentials,
  hostname: string,
): Promise<Credentials> {
  const { privateKeyPem, certificateRequestPem } = await createKeyAndRequest();
  const body = { certificateRequestPem, hostname };
  const text = await request(address, 'POST', '/renew', body, {
    ...credentials,
    servername: managerServerName,
  });
  const answer = answerOf(address, text);
  return { key: privateKeyPem, cert: answer.certificatePem, ca: answer.certificateAuthorityPem };
}

/** What a manager answers, checked before anything is made of it. */
function answerOf(address: string, text: string): JoinAnswer {
  const value = parseUntrusted(Buffer.from(text), `the answer of ${address}`);
  const checked = checkOpen(joinAnswer, value);
  if (checked.fault === undefined) return checked.value;
  throw new ShoalError('unavailable', `Cannot use the answer of ${address}: ${wordsOf(checked.fault)}`);
}

/**
 * Tells the manager that this host leaves (`POST`), which can be said again and again, or only asks (`GET`): how many of its tasks are still
 * here, and which volumes.
 */
export async function askToLeave(
  address: string,
  credentials: Credentials,
  method: 'GET' | 'POST',
): Promise<LeaveAnswer> {
  const tls = { ...credentials, servername: managerServerName };
  const text = await request(address, method, '/leave', method === 'GET' ? undefined : {}, tls);
  return JSON.parse(text) as LeaveAnswer;
}

/**
 * When to renew, ms since the epoch: at a random 50 to 80 % of the certificate's life (as SwarmKit does), counted from its
 * end, for when it was made is not in it.
 */
export function renewalTime(certificatePem: string, random: Random): number {
  const { validToDate } = new X509Certificate(certificatePem);
  return validToDate.getTime() - certificateLifeMs * (0.5 - random.next() * 0.3);
}

function certificateIn(text: string): string | undefined {
  const plain = text.trimStart().startsWith('-') ? text : text.replaceAll('\\n', '\n');
  return /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/.exec(plain)?.[0];
}

function request(
  address: string,
  method: string,
  path: string,
  body: unknown,
  tls: https.RequestOptions,
): Promise<string> {
  const [hostname, port] = address.split(':');
  const unreachable = (cause: unknown) =>
    new ShoalError('unavailable', `Cannot reach the manager at ${address}: ${messageOf(cause)}`, {
      cause,
      next: 'Check the address and port, and that the manager runs.',
    });
  return new Promise((resolve, reject) => {
    const sent = https.request(
      { ...tls, hostname, port, method, path, agent: false, timeout: requestTimeoutMs },
      (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > answerBytesMax) sent.destroy(new Error('its answer is too large'));
          else chunks.push(chunk);
        });
        response.on('error', (error) => reject(unreachable(error)));
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          const status = response.statusCode ?? 500;
          if (status < 400) resolve(text);
          else reject(refusal(address, status, text));
        });
      },
    );
    sent.on('timeout', () => sent.destroy(new Error(`no answer in ${requestTimeoutMs} ms`)));
    sent.on('error', (error) => reject(unreachable(error)));
    if (body !== undefined) sent.setHeader('content-type', 'application/json');
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

function refusal(address: string, status: number, text: string): ShoalError {
  try {
    const { error } = JSON.parse(text) as { error: ApiError };
    const code = Object.hasOwn(errorCodes, error.code) ? (error.code as ErrorCode) : 'internal';
    return new ShoalError(code, error.message, error.next === undefined ? {} : { next: error.next });
  } catch {
    return new ShoalError(
      'unavailable',
      `Cannot use the answer of the manager at ${address}: status ${status}`,
    );
  }
}
