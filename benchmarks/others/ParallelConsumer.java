/* Confluent's parallel consumer as a pipe to the stand-in, in order per contact, with a thread for each call in flight.
 *
 *     java -cp 'LIBS/*' ParallelConsumer.java BOOTSTRAP TOPIC GROUP URL IN_FLIGHT
 *
 * It goes on until it is stopped. `README.md` says how to fetch its libraries.
 */

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelConsumerOptions.ProcessingOrder;
import io.confluent.parallelconsumer.ParallelStreamProcessor;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

public class ParallelConsumer {
    static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] given) {
        var http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        var target = URI.create(given[3] + "/v2/objects/people/records?matching_attribute=email_addresses");
        var consumer = new KafkaConsumer<>(
                Map.<String, Object>of(
                        "bootstrap.servers", given[0],
                        "group.id", given[2],
                        "auto.offset.reset", "earliest",
                        "enable.auto.commit", "false"),
                new StringDeserializer(),
                new ByteArrayDeserializer());
        var options = ParallelConsumerOptions.<String, byte[]>builder()
                .ordering(ProcessingOrder.KEY)
                .maxConcurrency(Integer.parseInt(given[4]))
                .consumer(consumer)
                .build();
        var processor = ParallelStreamProcessor.createEosStreamProcessor(options);
        Runtime.getRuntime().addShutdownHook(new Thread(processor::close));
        processor.subscribe(List.of(given[1]));
        processor.poll(record -> {
            try {
                var request = HttpRequest.newBuilder(target)
                        .header("authorization", "Bearer benchmark")
                        .header("content-type", "application/json")
                        .PUT(HttpRequest.BodyPublishers.ofByteArray(person(JSON.readTree(record.value()))))
                        .build();
                var status = http.send(request, BodyHandlers.discarding()).statusCode();
                if (status >= 400) throw new IllegalStateException("the vendor answered " + status);
            } catch (java.io.IOException | InterruptedException error) {
                throw new IllegalStateException(error);
            }
        });
    }

    /** The body of the contact's assert. */
    static byte[] person(JsonNode event) throws java.io.IOException {
        var traits = event.get("traits");
        var first = traits.get("first_name").asText().strip();
        var last = traits.get("last_name").asText().strip();
        return JSON.writeValueAsBytes(Map.of("data", Map.of("values", Map.of(
                "email_addresses", List.of(Map.of("email_address", traits.get("email").asText().strip().toLowerCase())),
                "name", List.of(Map.of("first_name", first, "last_name", last, "full_name", first + " " + last)),
                "phone_numbers", List.of(Map.of("original_phone_number", traits.get("phone").asText())),
                "job_title", List.of(Map.of("value", traits.get("job_title").asText().strip()))))));
    }
}
