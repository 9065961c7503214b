<?php
// PHP's sessions in Memcached, by its text protocol: the official PHP image has no extension for it.
class MemcachedSessions implements SessionHandlerInterface {
    private const LIFETIME_SECONDS = 3600;
    /** @var resource|null */
    private $socket = null;

    public function __construct(private string $host, private int $port = 11211) {}

    public function open(string $path, string $name): bool {
        $socket = @fsockopen($this->host, $this->port, $code, $message, 2);
        if ($socket === false) return false;
        stream_set_timeout($socket, 2);
        $this->socket = $socket;
        return true;
    }

    public function close(): bool {
        return fclose($this->socket);
    }

    public function read(string $id): string|false {
        $header = $this->ask("get session:$id\r\n");
        if (!preg_match('/^VALUE \S+ \d+ (\d+)/', $header, $found)) return '';
        $data = $found[1] === '0' ? '' : stream_get_contents($this->socket, (int) $found[1]);
        fgets($this->socket); // the end of the data's line
        fgets($this->socket); // END
        return $data;
    }

    public function write(string $id, string $data): bool {
        $size = strlen($data);
        return $this->ask("set session:$id 0 " . self::LIFETIME_SECONDS . " $size\r\n$data\r\n") === "STORED\r\n";
    }

    public function destroy(string $id): bool {
        $this->ask("delete session:$id\r\n");
        return true;
    }

    public function gc(int $lifetime): int|false {
        return 0; // Memcached forgets by itself
    }

    private function ask(string $command): string {
        fwrite($this->socket, $command);
        return (string) fgets($this->socket);
    }
}
