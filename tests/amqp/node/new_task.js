// Puts tasks into a durable queue: node new_task.js URL TASK...
const amqp = require('amqplib/callback_api')

const [url, ...tasks] = process.argv.slice(2)

amqp.connect(url, (failure, connection) => {
  if (failure) throw failure
  connection.createChannel((failure, channel) => {
    if (failure) throw failure
    channel.assertQueue('task_queue', { durable: true })
    for (const task of tasks) {
      channel.sendToQueue('task_queue', Buffer.from(task), { persistent: true })
    }
    channel.close(() => connection.close())
  })
})
