// Works on tasks, one at a time, so many milliseconds for each dot: node worker.js URL MS_PER_DOT
const amqp = require('amqplib/callback_api')

const [url, msPerDot] = process.argv.slice(2)

amqp.connect(url, (failure, connection) => {
  if (failure) throw failure
  connection.createChannel((failure, channel) => {
    if (failure) throw failure
    channel.assertQueue('task_queue', { durable: true })
    channel.prefetch(1)
    const work = (message) => {
      const task = message.content.toString()
      const dots = task.split('.').length - 1
      console.log(`${message.fields.redelivered ? 'again' : 'got'} ${task}`)
      setTimeout(() => {
        channel.ack(message)
        console.log(`done ${task}`)
      }, dots * Number(msPerDot))
    }
    channel.consume('task_queue', work, { noAck: false }, (failure) => {
      if (failure) throw failure
      console.log('ready')
    })
  })
})
