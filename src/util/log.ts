/** Structured log lines for daemons: one JSON object a line on stderr. No secret may be passed as a field. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface Logger {
  debug(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
  /** A logger that adds `fields` to every line. */
  with(fields: Record<string, unknown>): Logger;
}

const severity: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };

/** A logger that hands finished lines (with their line feed) to `write`. */
export function createLogger(options: {
  level: LogLevel;
  now: () => number;
  write: (line: string) => void;
  fields?: Record<string, unknown>;
}): Logger {
  const log = (level: LogLevel, message: string, fields: Record<string, unknown> = {}) => {
    if (severity[level] < severity[options.level]) return;
    const at = new Date(options.now()).toISOString();
    options.write(`${JSON.stringify({ at, level, message, ...options.fields, ...fields })}\n`);
  };
  return {
    debug: (message, fields) => log('debug', message, fields),
    info: (message, fields) => log('info', message, fields),
    warn: (message, fields) => log('warn', message, fields),
    error: (message, fields) => log('error', message, fields),
    with: (fields) => createLogger({ ...options, fields: { ...options.fields, ...fields } }),
  };
}

/** For tests and tools that want no log at all. */
export const silentLogger: Logger = createLogger({ level: 'error', now: () => 0, write: () => undefined });
