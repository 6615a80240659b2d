package channel

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// database is a table of messages that each service polls. Taking messages is
// one transaction: neither lost nor doubled.
type database struct {
	inbox
	db   *sql.DB
	self string
}

const table = `CREATE TABLE IF NOT EXISTS messages (
	id BIGINT AUTO_INCREMENT PRIMARY KEY, recipient VARCHAR(32) NOT NULL, body TEXT NOT NULL, KEY (recipient, id))`

func openDatabase(ctx context.Context, self string) (*database, error) {
	password, err := os.ReadFile("/run/secrets/db_password")
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s)/%s", os.Getenv("DATABASE_USER"),
		strings.TrimSpace(string(password)), os.Getenv("DATABASE_HOST"), os.Getenv("DATABASE")))
	if err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, table); err != nil {
		return nil, err
	}
	c := &database{newInbox(), db, self}
	go func() {
		for ; ctx.Err() == nil; time.Sleep(pollEvery) {
			messages, err := c.take(ctx)
			if err != nil {
				fmt.Fprintln(os.Stderr, "database:", err)
			}
			for _, m := range messages {
				c.put(ctx, m)
			}
		}
	}()
	return c, nil
}

// deadlock is what MariaDB answers the one of two transactions that it undoes: it
// is to be tried again.
const deadlock = 1213

// take removes what has come, oldest first.
func (c *database) take(ctx context.Context) (messages []Message, err error) {
	tx, err := c.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	rows, err := tx.QueryContext(ctx, "SELECT id, body FROM messages WHERE recipient = ? ORDER BY id LIMIT 100 FOR UPDATE", c.self)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var ids []any
	for rows.Next() {
		var id int64
		var body []byte
		var m Message
		if err := rows.Scan(&id, &body); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(body, &m); err != nil {
			return nil, err
		}
		ids, messages = append(ids, id), append(messages, m)
	}
	if err := rows.Err(); err != nil || len(ids) == 0 {
		return nil, err
	}
	gone := "DELETE FROM messages WHERE id IN (?" + strings.Repeat(",?", len(ids)-1) + ")"
	if _, err := tx.ExecContext(ctx, gone, ids...); err != nil {
		return nil, err
	}
	return messages, tx.Commit()
}

func (c *database) Send(ctx context.Context, to string, m Message) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	for {
		_, err = c.db.ExecContext(ctx, "INSERT INTO messages (recipient, body) VALUES (?, ?)", to, body)
		var why *mysql.MySQLError
		if !errors.As(err, &why) || why.Number != deadlock {
			return err
		}
	}
}
