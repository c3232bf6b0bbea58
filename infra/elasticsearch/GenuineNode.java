import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.http.HttpServerTransport;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginsLoader;

/**
 * Starts one Elasticsearch node from the jars of the public Maven artifacts, without a distribution.
 *
 * <p>Arguments: the configuration directory, a file to write the HTTP port into once the node answers, then
 * settings as {@code key=value}. Runs until the process is ended; SIGTERM closes the node in order.
 */
public final class GenuineNode {
    private GenuineNode() {}

    public static void main(String[] arguments) throws Exception {
        Path configuration = Path.of(arguments[0]);
        Path readyFile = Path.of(arguments[1]);
        Settings.Builder settings = Settings.builder();
        for (int index = 2; index < arguments.length; index++) {
            String[] pair = arguments[index].split("=", 2);
            settings.put(pair[0], pair[1]);
        }

        LogConfigurator.configureESLogging();
        Environment environment = new Environment(settings.build(), configuration);
        LogConfigurator.configure(environment, true);
        PluginsLoader plugins = PluginsLoader.createPluginsLoader(
            PluginsLoader.loadModulesBundles(environment.modulesDir()),
            PluginsLoader.loadPluginsBundles(environment.pluginsDir()),
            Map.of());
        Node node = new Node(environment, plugins);
        CountDownLatch closed = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                node.close();
            } catch (Exception trouble) {
                trouble.printStackTrace();
            } finally {
                closed.countDown();
            }
        }));
        node.start();

        int port = node.injector().getInstance(HttpServerTransport.class)
            .boundAddress().publishAddress().address().getPort();
        // Renamed into place, so that whoever waits for the file never reads half a number.
        Path written = readyFile.resolveSibling(readyFile.getFileName() + ".part");
        Files.write(written, Integer.toString(port).getBytes(StandardCharsets.US_ASCII));
        Files.move(written, readyFile, StandardCopyOption.ATOMIC_MOVE);
        closed.await();
    }
}
