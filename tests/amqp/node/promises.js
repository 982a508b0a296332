// What a client sees through the promise API: node promises.js URL WHAT prints it as JSON.
const { once } = require('node:events')
const { setTimeout: sleep } = require('node:timers/promises')
const amqp = require('amqplib')

const programs = {
  async confirms(connection) {
    const channel = await connection.createConfirmChannel()
    let acks = 0
    channel.on('ack', () => (acks += 1))
    await channel.assertQueue('q', { durable: true })
    for (let i = 0; i < 500; i += 1) channel.sendToQueue('q', Buffer.from(`${i}`), { persistent: true })
    await channel.waitForConfirms()
    return { messages: (await channel.checkQueue('q')).messageCount, severalAtOnce: acks < 500 }
  },

  async nacks(connection) {
    const channel = await connection.createConfirmChannel()
    const full = { 'x-max-length': 1, 'x-overflow': 'reject-publish' }
    await channel.assertQueue('full', { arguments: full })
    const publish = () =>
      new Promise((resolve) => {
        channel.sendToQueue('full', Buffer.from('m'), {}, (failure) => resolve(!failure))
      })
    return [await publish(), await publish()]
  },

  async returns(connection) {
    const channel = await connection.createChannel()
    const returned = once(channel, 'return')
    channel.publish('amq.direct', 'nowhere', Buffer.from('back'), { mandatory: true, messageId: 'm1' })
    const [message] = await returned
    const { replyCode, replyText, exchange, routingKey } = message.fields
    const { messageId } = message.properties
    return { replyCode, replyText, exchange, routingKey, messageId, body: message.content.toString() }
  },

  async cancelled(connection) {
    const channel = await connection.createChannel()
    await channel.assertQueue('q')
    const told = new Promise((resolve) => channel.consume('q', resolve))
    await (await connection.createChannel()).deleteQueue('q')
    return told
  },

  async refused(connection) {
    const channel = await connection.createChannel()
    channel.on('error', () => {})
    const closed = new Promise((resolve) => channel.on('close', resolve))
    const failure = await channel.checkQueue('missing').catch((error) => error)
    await closed
    const next = await connection.createChannel()
    return { code: failure.code, message: failure.message, next: (await next.assertQueue('q')).queue }
  },

  async properties(connection) {
    const channel = await connection.createChannel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    const numbers = { int: -7, big: 2 ** 40, half: 0.5 }
    const headers = { ...numbers, text: 'é', yes: true, nothing: null, list: [1, 'a'], table: { a: 1 } }
    const body = Buffer.alloc(1_000_000, 'x')
    channel.sendToQueue(queue, body, { headers, priority: 3, timestamp: 5, expiration: 60_000, type: 't' })
    const message = await channel.get(queue, { noAck: true })
    const { priority, timestamp, expiration, type } = message.properties
    return {
      whole: message.content.equals(body),
      headers: message.properties.headers,
      rest: [priority, timestamp, expiration, type],
      then: await channel.get(queue),
    }
  },

  async settled(connection) {
    const channel = await connection.createChannel()
    await channel.assertQueue('q')
    for (const body of ['1', '2', '3']) channel.sendToQueue('q', Buffer.from(body))
    const seen = []
    const take = async () => {
      const message = await channel.get('q')
      seen.push([message.content.toString(), message.fields.redelivered, message.fields.messageCount])
      return message
    }
    channel.nack(await take())
    channel.reject(await take(), false)
    await take()
    await channel.recover()
    await take()
    await take()
    channel.ackAll()
    return { seen, left: (await channel.deleteQueue('q')).messageCount }
  },

  async replied(connection) {
    const [server, client] = [await connection.createChannel(), await connection.createChannel()]
    await server.assertQueue('rpc')
    await server.consume('rpc', ({ content, properties }) => {
      const { replyTo, correlationId } = properties
      server.sendToQueue(replyTo, Buffer.from(`${Number(content.toString()) + 1}`), { correlationId })
    })
    const answer = new Promise((resolve) => client.consume('amq.rabbitmq.reply-to', resolve, { noAck: true }))
    client.sendToQueue('rpc', Buffer.from('41'), { replyTo: 'amq.rabbitmq.reply-to', correlationId: 'c' })
    const message = await answer
    return [message.content.toString(), message.properties.correlationId]
  },

  async secret(connection) {
    await connection.updateSecret(Buffer.from('new'), 'it was time')
    return (await (await connection.createChannel()).assertQueue('q')).queue
  },

  async idle(connection) {
    await sleep(2_200)
    return (await (await connection.createChannel()).assertQueue('q')).queue
  },
}

async function main(url, what) {
  const connection = await amqp.connect(`${url}?heartbeat=${what === 'idle' ? 1 : 0}`)
  console.log(JSON.stringify(await programs[what](connection)))
  await connection.close()
}

main(...process.argv.slice(2))
