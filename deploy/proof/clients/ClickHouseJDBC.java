import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;

/**
 * Asks a recount server over ClickHouse's HTTP interface with the JDBC driver.
 *
 * <pre>
 *   mvn dependency:get -Dartifact=com.clickhouse:clickhouse-jdbc:0.10.0   # and its dependencies, into a folder lib
 *   java -cp 'lib/*' ClickHouseJDBC.java HOST PORT KEY VIEW
 * </pre>
 *
 * It prints a line for each thing that it tries, and fails if one does not work.
 */
public class ClickHouseJDBC {
    interface Check {
        boolean run() throws Exception;
    }

    static boolean failed;

    static void check(String name, Check check) {
        boolean ok = false;
        try {
            ok = check.run();
        } catch (Exception e) {
            name += " (" + e + ")";
        }
        failed |= !ok;
        System.out.println((ok ? "ok     " : "FAILED ") + name);
    }

    static boolean has(ResultSet rows, String column, String value) throws SQLException {
        while (rows.next()) {
            if (value.equals(rows.getString(column))) {
                return true;
            }
        }
        return false;
    }

    public static void main(String[] args) throws Exception {
        String view = args[3];
        Properties properties = new Properties();
        properties.setProperty("user", "default");
        properties.setProperty("password", args[2]);
        String url = "jdbc:clickhouse://" + args[0] + ":" + args[1] + "/recount";
        try (Connection c = DriverManager.getConnection(url, properties)) {
            check("connect", () -> c.isValid(5) && !c.getMetaData().getDatabaseProductVersion().isEmpty());
            check("query", () -> {
                try (Statement s = c.createStatement()) {
                    return s.executeQuery("SELECT * FROM " + view).getMetaData().getColumnCount() > 1;
                }
            });
            check("a prepared statement", () -> {
                try (PreparedStatement s = c.prepareStatement("SELECT ? AS x")) {
                    s.setString(1, "it's");
                    return has(s.executeQuery(), "x", "it's");
                }
            });
            check("schemas", () -> has(c.getMetaData().getSchemas(), "TABLE_SCHEM", "recount"));
            check("tables", () -> has(c.getMetaData().getTables(null, "recount", "%", null), "TABLE_NAME", view));
            check("columns", () -> has(c.getMetaData().getColumns(null, "recount", view, "%"), "COLUMN_NAME", "time"));
            check("functions", () -> has(c.getMetaData().getFunctions(null, null, "sum%"), "FUNCTION_NAME", "sum"));
            check("types", () -> has(c.getMetaData().getTypeInfo(), "TYPE_NAME", "UInt64"));
            check("most rows", () -> {
                Properties limited = new Properties();
                limited.putAll(properties);
                limited.setProperty("jdbc_use_max_result_rows", "true");
                try (Connection other = DriverManager.getConnection(url, limited); Statement s = other.createStatement()) {
                    s.setMaxRows(2);
                    ResultSet rows = s.executeQuery("SELECT number FROM numbers(5)");
                    return rows.next() && rows.next() && !rows.next();
                }
            });
            check("a timeout", () -> {
                try (Statement s = c.createStatement()) {
                    s.setQueryTimeout(5);
                    return s.executeQuery("SELECT 1").next();
                }
            });
            check("an error has its number", () -> {
                try (Statement s = c.createStatement()) {
                    s.executeQuery("SELECT * FROM nowhere");
                    return false;
                } catch (SQLException e) {
                    return String.valueOf(e).contains("Code: 60");
                }
            });
        }
        System.exit(failed ? 1 : 0);
    }
}
