import { codeOf, messageOf, ShoalError, type ErrorCode } from '../util/errors.ts';
import type { ApiError } from './api.ts';

const statuses: Record<ErrorCode, number> = {
  invalid_argument: 400,
  invalid_file: 400,
  unauthenticated: 401,
  permission_denied: 403,
  not_found: 404,
  already_exists: 409,
  overtaken: 409,
  conflict: 409,
  failed_precondition: 412,
  image_not_found: 422,
  image_invalid: 422,
  command_not_found: 422,
  namespace_gone: 409,
  port_taken: 409,
  resource_exhausted: 429,
  no_space: 507,
  internal: 500,
  engine_failed: 500,
  network_failed: 500,
  not_supported: 501,
  unavailable: 503,
  deadline_exceeded: 504,
};

/** The HTTP status that goes with any thrown value. */
export function httpStatusOf(error: unknown): number {
  return statuses[codeOf(error)];
}

/** Any thrown value as the API tells it. */
export function apiErrorOf(error: unknown): ApiError {
  if (!(error instanceof ShoalError)) return { code: 'internal', message: messageOf(error) };
  const { code, next, details } = error;
  return { code, message: messageOf(error), next, details };
}
