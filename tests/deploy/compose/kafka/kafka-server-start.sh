#!/bin/sh
# As the script of this name in Kafka's distribution, over the jars that Maven brings.
# shellcheck disable=SC2086 # these hold several options
exec java $KAFKA_HEAP_OPTS $KAFKA_LOG4J_OPTS -cp '/opt/kafka/libs/*' kafka.Kafka "$@"
