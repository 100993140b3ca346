<?php
// What a small PHP application does, behind PHP's built-in server.
$folder = $_SERVER['DOCUMENT_ROOT'];
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($path === '/form') {
    echo 'hello ' . $_POST['name'];
} elseif ($path === '/upload') {
    $input = fopen('php://input', 'rb');
    $hash = hash_init('sha256');
    $size = hash_update_stream($hash, $input);
    echo $size . ' ' . hash_final($hash);
} elseif ($path === '/gzip') {
    $body = gzencode(str_repeat('packed ', 1000));
    header('Content-Type: text/plain');
    header('Content-Encoding: gzip');
    header('Content-Length: ' . strlen($body));
    echo $body;
} elseif ($path === '/') {
    readfile($folder . '/index.html');
} elseif ($path === '/big.bin') {
    $file = fopen($folder . '/big.bin', 'rb');
    $size = filesize($folder . '/big.bin');
    if (preg_match('/^bytes=(\d+)-(\d+)$/', $_SERVER['HTTP_RANGE'] ?? '', $range)) {
        http_response_code(206);
        header("Content-Range: bytes $range[1]-$range[2]/$size");
        fseek($file, (int)$range[1]);
        echo fread($file, $range[2] - $range[1] + 1);
    } else {
        header('Content-Length: ' . $size);
        fpassthru($file);
    }
} else {
    http_response_code(404);
    echo 'nothing here';
}
