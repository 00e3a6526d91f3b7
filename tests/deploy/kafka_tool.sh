#!/bin/sh
# As the scripts of Kafka's distribution, over the jars that Maven brings: which one it is, its name says (kafka-topics.sh is a
# link to this). $KAFKA_JARS is the folder of the jars, $KAFKA_JAVA the java, $KAFKA_LOG4J the properties of log4j.
set -eu
case $(basename -- "$0") in
kafka-topics.sh) class=org.apache.kafka.tools.TopicCommand ;;
kafka-consumer-groups.sh) class=org.apache.kafka.tools.consumer.group.ConsumerGroupCommand ;;
kafka-console-consumer.sh) class=org.apache.kafka.tools.consumer.ConsoleConsumer ;;
kafka-get-offsets.sh) class=org.apache.kafka.tools.GetOffsetShell ;;
kafka-delete-records.sh) class=org.apache.kafka.tools.DeleteRecordsCommand ;;
*) echo "kafka_tool.sh: no such tool: $0" >&2; exit 2 ;;
esac
exec "$KAFKA_JAVA" -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "-Dlog4j.configuration=file:$KAFKA_LOG4J" -cp "$KAFKA_JARS/*" "$class" "$@"
