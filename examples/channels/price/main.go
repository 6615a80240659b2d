// Command price knows what things cost.
package main

import (
	"github.com/berth-engine/berth/examples/channels/channel"
	"github.com/berth-engine/berth/examples/channels/service"
)

var prices = map[string]int{"anchor": 12900, "rope": 1850, "lamp": 4400}

func main() {
	service.Run("price", "stock", func(m *channel.Message) { m.Price = prices[m.Item] })
}
