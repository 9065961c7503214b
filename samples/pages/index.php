<?php
require __DIR__ . '/sessions.php';

session_set_save_handler(new MemcachedSessions(getenv('SESSIONS_HOST') ?: 'sessions'), true);
session_start();
$_SESSION['visits'] = ($_SESSION['visits'] ?? 0) + 1;
header('Content-Type: application/json');
echo json_encode(['visits' => $_SESSION['visits'], 'replica' => gethostname()]), "\n";
