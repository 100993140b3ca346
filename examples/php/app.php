<?php
// A small page with a form, as legacy PHP has it: it knows nothing of drover.
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($path !== '/' && $path !== '/index.php') {
    http_response_code(404);
    header('Content-Type: text/plain; charset=utf-8');
    echo "Not found\n";
    return;
}
$name = trim((string) ($_POST['name'] ?? ''));
$greeting = 'Hello' . ($name === '' ? '' : ', ' . htmlspecialchars($name));
?>
<!doctype html>
<title>PHP behind drover</title>
<h1><?= $greeting ?></h1>
<p>Worker <?= htmlspecialchars((string) getenv('DROVER_WORKER')) ?>, process <?= getmypid() ?></p>
<form method="post"><input name="name" placeholder="Your name"><button>Greet</button></form>
