<?php
require 'database.php';
database()->query('SELECT 1 FROM notes LIMIT 1');
echo 'ok';
