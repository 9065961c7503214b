import { expect, test } from 'vitest';
import { ShoalError } from '../util/errors.ts';
import { parseReference } from './reference.ts';
import { isRetryable, parseChallenge, pullError, RegistryError } from './client.ts';

test('a bearer challenge gives its parameters, and another scheme none', () => {
  const challenge =
    'Bearer realm="https://auth.io/token",service="registry.io",scope="repository:a/b:pull,push"';
  expect(parseChallenge(challenge)).toEqual({
    realm: 'https://auth.io/token',
    service: 'registry.io',
    scope: 'repository:a/b:pull,push',
  });
  expect(parseChallenge('Basic realm="x"')).toBeUndefined();
  expect(parseChallenge('')).toBeUndefined();
});

test('another attempt is worth it only when the server or the way to it is at fault', () => {
  expect([500, 503, 429, 408].map((code) => isRetryable(new RegistryError(code, '')))).toEqual([
    true,
    true,
    true,
    true,
  ]);
  expect([400, 401, 403, 404].some((code) => isRetryable(new RegistryError(code, '')))).toBe(false);
  expect(isRetryable(new Error('ECONNRESET'))).toBe(true);
  expect(isRetryable(new ShoalError('image_invalid', 'Cannot'))).toBe(false);
});

test('what went wrong has a code that tells whose fault it is', () => {
  const codes = [404, 401, 403, 400, 500].map((code) => {
    const error = pullError(parseReference('redis'), new RegistryError(code, 'said no'));
    return (error as ShoalError).code;
  });
  expect(codes).toEqual([
    'image_not_found',
    'image_not_found',
    'image_not_found',
    'image_invalid',
    'unavailable',
  ]);
  expect(pullError(parseReference('redis'), new Error('ENOTFOUND'))).toMatchObject({ code: 'unavailable' });
});
