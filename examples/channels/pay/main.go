// Command pay takes money for what has a price.
package main

import (
	"github.com/berth-engine/berth/examples/channels/channel"
	"github.com/berth-engine/berth/examples/channels/service"
)

func main() {
	service.Run("pay", "ledger", func(m *channel.Message) { m.Paid = m.Price > 0 })
}
