<?php
// A guest book: what one server writes, every server shows.
require 'database.php';
$db = database();
header('X-Server: ' . gethostname());
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    $text = mb_substr(trim($_POST['text'] ?? ''), 0, 500);
    if ($text === '') {
        http_response_code(400);
        exit("a note needs a text\n");
    }
    $insert = $db->prepare('INSERT INTO notes (text, server) VALUES (?, ?)');
    $insert->execute([$text, gethostname()]);
    header('Location: /', true, 303);
    exit;
}
$count = $db->query('SELECT COUNT(*) FROM notes')->fetch_row()[0];
$notes = $db->query('SELECT id, text, server, written FROM notes ORDER BY id DESC LIMIT 20')->fetch_all(MYSQLI_ASSOC);
$html = fn($text) => htmlspecialchars((string) $text, ENT_QUOTES);
?>
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Guest book</title>
<h1>Guest book</h1>
<p><?= $count ?> notes; served by <?= $html(gethostname()) ?></p>
<form method="post"><input name="text" maxlength="500" required> <button>Write</button></form>
<ul>
<?php foreach ($notes as $n): ?>
<li><?= $html($n['text']) ?> <small>by <?= $html($n['server']) ?> at <?= $html($n['written']) ?></small></li>
<?php endforeach ?>
</ul>
</html>
