<?php
// The database, with the table that the application needs.
function database(): mysqli {
    mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
    $db = new mysqli(getenv('DATABASE_HOST'), getenv('DATABASE_USER'),
        rtrim(file_get_contents('/run/secrets/db_password'), "\n"), getenv('DATABASE'));
    $db->set_charset('utf8mb4');
    $db->query('CREATE TABLE IF NOT EXISTS notes (id INT AUTO_INCREMENT PRIMARY KEY, text VARCHAR(500) NOT NULL,
        server VARCHAR(64) NOT NULL, written TIMESTAMP DEFAULT CURRENT_TIMESTAMP)');
    return $db;
}
