// Command ledger writes down each order that was paid, under a number of its own.
package main

import (
	"github.com/berth-engine/berth/examples/channels/channel"
	"github.com/berth-engine/berth/examples/channels/service"
)

func main() {
	entries := 0
	service.Run("ledger", "gateway", func(m *channel.Message) {
		if !m.Paid {
			return
		}
		entries++
		m.Entry = entries
	})
}
